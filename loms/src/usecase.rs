//! What LOMS does, a file each.

use std::time::Duration;

use platform::{postgres::Database, worker::Wake};

use crate::{
    domain::transition::Transition,
    metrics::{self, Units},
};

pub mod cancel;
pub mod create;
pub mod expire;
pub mod import_stock;
pub mod pay;
pub mod show;
pub mod stock;

/// The orders of the marketplace. Clones work on the same ones.
#[derive(Debug, Clone)]
pub struct Orders {
    database: Database,
    payment_timeout: Duration,
    relay: Wake,
}

impl Orders {
    /// Orders that are kept in a database and can be paid until a time after their creation; `relay` is woken when
    /// there are events to publish.
    pub fn new(database: Database, payment_timeout: Duration, relay: Wake) -> Self {
        Self { database, payment_timeout, relay }
    }

    /// To be called when changes are committed, with the units that they moved.
    fn committed<'a>(&self, transitions: impl IntoIterator<Item = &'a Transition>, units: Units) {
        metrics::count_transitions(transitions, units);
        self.relay.wake();
    }
}

/// The stock of all warehouses. Clones work on the same one.
#[derive(Debug, Clone)]
pub struct Stocks {
    database: Database,
}

impl Stocks {
    /// Stock that is kept in a database.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}
