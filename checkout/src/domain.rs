//! The rules of carts and purchases, as pure code.

pub mod cart;
pub mod purchase;

use platform::ids::{Count, Sku};

/// Units of one SKU, in a cart or on their way to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Of what.
    pub sku: Sku,
    /// How many.
    pub count: Count,
}
