//! Keeps the gauges of the backlog up to date.

use std::time::Duration;

use platform::{
    failure::Failure,
    postgres::Database,
    worker::{Next, Step},
};

use crate::{metrics, store::deliveries};

/// How old the gauges can be.
const INTERVAL: Duration = Duration::from_secs(5);

/// The step.
pub struct Measure {
    database: Database,
}

impl Measure {
    /// Measures what is kept in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

impl Step for Measure {
    const NAME: &'static str = "measure";

    async fn step(&mut self) -> Result<Next, Failure> {
        let backlog = deliveries::backlog(&self.database).await?;
        metrics::DUE.set(backlog.due);
        metrics::DEAD.set(backlog.dead);
        metrics::OLDEST_DUE_SECONDS.set(backlog.oldest_due_seconds);
        Ok(Next::Idle(INTERVAL))
    }
}
