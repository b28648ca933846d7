//! The rules of carts and purchases, as pure functions of their input: no database, no network, no clock.

pub mod account;
pub mod cart;
pub mod product;
pub mod purchase;

use proto::ids::{Count, Sku};

/// Units of one SKU, in a cart or on their way to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub sku: Sku,
    pub count: Count,
}
