//! What LOMS does, a file each.

use std::time::Duration;

use platform::{batches::Batches, postgres::Database, worker::Wake};

pub mod batch;
mod cancel;
pub mod change;
pub mod create;
mod expire;
pub mod import_stock;
mod inspect;
pub mod list;
mod pay;
mod show;

use batch::OrderBatch;
use show::{OrderReads, StockReads};

/// The orders of the marketplace. Clones work on the same ones.
#[derive(Debug, Clone)]
pub struct Orders {
    database: Database,
    relay: Wake,
    batches: Batches<OrderBatch>,
    shown: Batches<OrderReads>,
}

impl Orders {
    /// `payment_timeout` is how long after its creation an order can be paid. `relay` is woken when there are events to
    /// publish. Must be called inside a Tokio runtime.
    pub fn new(database: Database, payment_timeout: Duration, relay: Wake) -> Self {
        let batch = OrderBatch { database: database.clone(), payment_timeout, relay: relay.clone() };
        let shown = Batches::new(OrderReads { database: database.clone() });
        Self { database, relay, batches: Batches::new(batch), shown }
    }
}

/// What operators look at.
#[derive(Debug)]
pub struct Inspection {
    pub database: Database,
}

/// The stock of all warehouses. Clones work on the same one.
#[derive(Debug, Clone)]
pub struct Stocks {
    database: Database,
    shown: Batches<StockReads>,
}

impl Stocks {
    /// Must be called inside a Tokio runtime.
    pub fn new(database: Database) -> Self {
        let shown = Batches::new(StockReads { database: database.clone() });
        Self { database, shown }
    }
}
