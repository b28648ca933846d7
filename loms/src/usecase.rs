//! What LOMS does, a file each.

use std::time::Duration;

use platform::{batches::Batches, postgres::Database, worker::Wake};

mod cancel;
pub mod change;
pub mod create;
mod expire;
pub mod import_stock;
mod pay;
mod show;

use change::Changes;
use create::Creations;

/// The orders of the marketplace. Clones work on the same ones.
#[derive(Debug, Clone)]
pub struct Orders {
    database: Database,
    relay: Wake,
    creations: Batches<Creations>,
    changes: Batches<Changes>,
}

impl Orders {
    /// `payment_timeout` is how long after its creation an order can be paid. `relay` is woken when there are events to
    /// publish. Must be called inside a Tokio runtime.
    pub fn new(database: Database, payment_timeout: Duration, relay: Wake) -> Self {
        let creations = Creations { database: database.clone(), payment_timeout, relay: relay.clone() };
        let changes = Changes { database: database.clone(), relay: relay.clone() };
        Self { database, relay, creations: Batches::new(creations), changes: Batches::new(changes) }
    }
}

/// The stock of all warehouses. Clones work on the same one.
#[derive(Debug, Clone)]
pub struct Stocks {
    pub database: Database,
}
