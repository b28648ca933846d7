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
    database: Database,
    payment_timeout: Duration,
    relay: Wake,
}

impl Orders {
    /// Orders can be paid until `payment_timeout` after their creation. `relay` is woken when there are events to
    /// publish.
    pub fn new(database: Database, payment_timeout: Duration, relay: Wake) -> Self {
        Self { database, payment_timeout, relay }
    }
}

/// The stock of all warehouses. Clones work on the same one.
#[derive(Debug, Clone)]
pub struct Stocks {
    database: Database,
}

impl Stocks {
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}
