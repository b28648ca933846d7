//! What a shop says of a SKU.

use std::sync::Arc;

use proto::ids::Sku;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    pub name: Arc<str>,
    /// Of one unit.
    pub price: u32,
}

/// ProductService does not know the SKU.
#[derive(Debug, Clone)]
pub struct UnknownProduct(pub Sku);
