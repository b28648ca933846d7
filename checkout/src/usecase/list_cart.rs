//! Shows a cart with names and prices.

use futures::future::try_join_all;
use platform::{
    failure::Failure,
    ids::{Sku, UserId},
};

use crate::{
    clients::products::{LookupError, Product, Products},
    domain::Line,
    store::Store,
};

/// A line of the cart, and what ProductService says of it.
#[derive(Debug)]
pub struct PricedLine {
    /// What is in the cart.
    pub line: Line,
    /// Its name and price.
    pub product: Product,
}

/// Why the cart cannot be shown.
#[derive(Debug)]
pub enum ListCartError {
    /// ProductService does not know a SKU of the cart.
    UnknownProduct(Sku),
    /// Unforeseen.
    Failure(Failure),
}

/// The lines of the cart, by SKU.
pub async fn list_cart(store: &Store, products: &Products, user: UserId) -> Result<Vec<PricedLine>, ListCartError> {
    let lines = store.cart(user).await.map_err(ListCartError::Failure)?;
    try_join_all(lines.into_iter().map(|line| price(products, line))).await
}

/// Sum of price times count; 100 lines of the largest price and count stay far below the bounds of the type.
pub fn total(lines: &[PricedLine]) -> u64 {
    lines.iter().map(|priced| u64::from(priced.product.price) * u64::from(priced.line.count.get())).sum()
}

async fn price(products: &Products, line: Line) -> Result<PricedLine, ListCartError> {
    match products.product(line.sku).await {
        Ok(product) => Ok(PricedLine { line, product }),
        Err(LookupError::Unknown) => Err(ListCartError::UnknownProduct(line.sku)),
        Err(LookupError::Failure(failure)) => Err(ListCartError::Failure(failure)),
    }
}
