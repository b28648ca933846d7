//! What a shop says of a SKU.

use std::{sync::Arc, time::Duration};

use proto::ids::Sku;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    pub name: Arc<str>,
    /// Of one unit.
    pub price: u32,
}

/// What ProductService said some time ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub product: Product,
    pub age: Duration,
}

/// ProductService does not know the SKU.
#[derive(Debug, Clone)]
pub struct UnknownProduct(pub Sku);
