//! Shows a cart with names and prices.

use futures::future::try_join_all;
use platform::failure::Error;
use proto::ids::UserId;

use super::Carts;
use crate::{
    domain::{
        Line,
        product::{Product, UnknownProduct},
    },
    store::cart_item,
};

/// A line of the cart, and what ProductService says of it.
#[derive(Debug)]
pub struct PricedLine {
    pub line: Line,
    pub product: Product,
}

impl Carts {
    /// The lines of the cart, by SKU.
    pub async fn list(&self, user: UserId) -> Result<Vec<PricedLine>, Error<UnknownProduct>> {
        let lines = cart_item::lines(&self.database, user).await?;
        let price = async |line: Line| Ok(PricedLine { line, product: self.products.product(line.sku).await? });
        try_join_all(lines.into_iter().map(price)).await
    }
}

/// Sum of price times count; 100 lines of the largest price and count stay far below the bounds of the type.
pub fn total(lines: &[PricedLine]) -> u64 {
    lines.iter().map(|priced| u64::from(priced.product.price) * u64::from(priced.line.count.get())).sum()
}
