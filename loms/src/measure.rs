//! The background step that measures what waits: events in the outbox, above all while the broker is down, and orders
//! that are not paid, above all those whose payment deadline has passed.

use std::time::Duration;

use platform::{
    failure::Failure,
    postgres::Database,
    skipped::Skipped,
    worker::{Next, Step},
};

use crate::{
    metrics,
    store::{
        floor::Floor,
        outbox,
        unpaid::{self, Unpaid},
    },
};

/// How often it looks; scrapes are no more frequent.
const PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Measure {
    database: Database,
    /// The orders that expiry skips. They have an alert of their own, and are not late like others.
    skipped: Skipped,
    floor: Floor,
}

impl Measure {
    pub fn new(database: Database, skipped: Skipped) -> Self {
        Self { database, skipped, floor: Floor::default() }
    }
}

impl Step for Measure {
    const NAME: &'static str = "measure";

    async fn step(&mut self) -> Result<Next, Failure> {
        let waiting = outbox::backlog(&self.database, self.floor.place()).await?;
        self.floor.raise(waiting.snapshot, waiting.places);
        metrics::OUTBOX_EVENTS.set(waiting.backlog.count);
        metrics::OUTBOX_OLDEST_AGE_SECONDS.set(waiting.backlog.oldest_seconds);
        let Unpaid { count, overdue } = unpaid::backlog(&self.database, &self.skipped.items()).await?;
        metrics::UNPAID_ORDERS.set(count);
        metrics::OVERDUE_ORDERS.set(overdue.count);
        metrics::OLDEST_OVERDUE_SECONDS.set(overdue.oldest_seconds);
        Ok(Next::Idle(PAUSE))
    }
}
