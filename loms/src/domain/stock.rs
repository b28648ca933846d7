//! What warehouses hold.

use std::fmt;

use platform::ids::{Sku, WarehouseId};

/// A number of units in a warehouse: 0 to [`Units::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Units(u32);

/// A number of units that no warehouse holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be from 0 to {}, is {}", Units::MAX, self.0)]
pub struct TooManyUnits(i64);

impl Units {
    /// The most that one warehouse can hold of one SKU.
    pub const MAX: Self = Self(1_000_000_000);

    /// The number itself.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<i64> for Units {
    type Error = TooManyUnits;

    fn try_from(value: i64) -> Result<Self, TooManyUnits> {
        u32::try_from(value).ok().map(Self).filter(|units| *units <= Self::MAX).ok_or(TooManyUnits(value))
    }
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What one warehouse holds of one SKU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stock {
    /// The warehouse.
    pub warehouse: WarehouseId,
    /// The SKU.
    pub sku: Sku,
    /// Units in the warehouse.
    pub on_hand: Units,
    /// Of these, the ones promised to orders that await payment.
    pub reserved: Units,
}

impl Stock {
    /// Units that an order can still reserve.
    pub fn free(&self) -> u32 {
        self.on_hand.0.saturating_sub(self.reserved.0)
    }
}

/// What somebody counted: how many units of a SKU a warehouse holds from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The warehouse.
    pub warehouse: WarehouseId,
    /// The SKU.
    pub sku: Sku,
    /// Units in the warehouse, reserved ones included.
    pub on_hand: Units,
}
