//! What warehouses hold.

use proto::{
    bounded,
    ids::{Sku, WarehouseId},
};

bounded!(
    /// How many units of one SKU a warehouse holds.
    Units(u32), 0..=1_000_000_000
);

/// What one warehouse holds of one SKU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stock {
    pub warehouse: WarehouseId,
    pub sku: Sku,
    pub on_hand: Units,
    /// Of those on hand, the ones promised to orders that await payment.
    pub reserved: Units,
}

impl Stock {
    /// Units that an order can still reserve.
    pub fn free(&self) -> u32 {
        self.on_hand.get().saturating_sub(self.reserved.get())
    }
}

/// What somebody counted: how many units of a SKU a warehouse holds from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub warehouse: WarehouseId,
    pub sku: Sku,
    /// Units in the warehouse, reserved ones included.
    pub on_hand: Units,
}
