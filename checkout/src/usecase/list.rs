//! Shows a cart with names and prices.

use std::time::Duration;

use futures::future::try_join_all;
use platform::failure::Error;
use proto::ids::UserId;

use super::Carts;
use crate::{
    domain::{
        Line,
        product::{Kept, Product, UnknownProduct},
    },
    metrics,
    store::product,
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
        let lines = product::cart(&self.database, user).await?;
        let price = async |(line, kept): (Line, Option<Kept>)| {
            let Kept { product, age } = self.catalogue.product(user, line.sku, kept).await?;
            Ok::<_, Error<UnknownProduct>>((PricedLine { line, product }, age))
        };
        let priced = try_join_all(lines.into_iter().map(price)).await?;
        let (lines, ages): (Vec<_>, Vec<Duration>) = priced.into_iter().unzip();
        if let Some(oldest) = ages.into_iter().max() {
            metrics::PRODUCT_AGE_SECONDS.observe(oldest.as_secs_f64());
        }
        Ok(lines)
    }
}

/// Sum of price times count; 100 lines of the largest price and count stay far below the bounds of the type.
pub fn total(lines: &[PricedLine]) -> u64 {
    lines.iter().map(|priced| u64::from(priced.product.price) * u64::from(priced.line.count.get())).sum()
}
