//! The background step that measures what waits: events in the outbox, above all while the broker is down, and orders
//! whose payment deadline has passed.

use std::time::Duration;

use platform::{
    failure::Failure,
    postgres::Database,
    worker::{Next, Step},
};

use crate::{metrics, store};

/// How often it looks; scrapes are no more frequent.
const PAUSE: Duration = Duration::from_secs(2);

/// Measures what waits.
#[derive(Debug)]
pub struct Watch {
    database: Database,
}

impl Watch {
    /// Measures what waits in this database.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

impl Step for Watch {
    const NAME: &'static str = "watch";

    async fn step(&mut self) -> Result<Next, Failure> {
        let outbox = store::outbox::backlog(&self.database).await?;
        metrics::OUTBOX.set(outbox.count, outbox.oldest_age);
        let overdue = store::orders::overdue(&self.database).await?;
        metrics::OVERDUE.set(overdue.count, overdue.oldest_age);
        Ok(Next::Idle(PAUSE))
    }
}
