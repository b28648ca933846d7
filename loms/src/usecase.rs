//! What LOMS does, a file each.

use std::time::Duration;

use platform::{postgres::Database, turns::Turns, worker::Wake};
use proto::ids::{OrderId, Sku};

pub mod cancel;
mod change;
pub mod create;
pub mod expire;
pub mod import_stock;
pub mod pay;
pub mod show;

/// The orders of the marketplace. Clones work on the same ones.
#[derive(Debug, Clone)]
pub struct Orders {
    pub database: Database,
    /// How long after its creation an order can be paid.
    pub payment_timeout: Duration,
    /// Woken when there are events to publish.
    pub relay: Wake,
    pub turns: OrderTurns,
}

/// Turns at what many want to change at once. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct OrderTurns {
    /// Taken by those who reserve a SKU.
    pub skus: Turns<Sku>,
    /// Taken by those who pay or cancel an order.
    pub orders: Turns<OrderId>,
}

/// The stock of all warehouses. Clones work on the same one.
#[derive(Debug, Clone)]
pub struct Stocks {
    pub database: Database,
}
