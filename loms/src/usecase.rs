//! What LOMS does, a file each.

use std::time::Duration;

use platform::{postgres::Database, worker::Wake};

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
}

/// The stock of all warehouses. Clones work on the same one.
#[derive(Debug, Clone)]
pub struct Stocks {
    pub database: Database,
}
