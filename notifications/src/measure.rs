//! Keeps the gauges of what is still to be done up to date: events to read, deliveries to make.

use std::time::Duration;

use platform::{
    failure::{Failure, chain},
    postgres::Database,
    worker::{Next, Step},
};
use tracing::debug;

use crate::{kafka::lag::Lag, metrics, store::deliveries};

/// How old the gauges can be.
const INTERVAL: Duration = Duration::from_secs(5);

/// The step.
pub struct Measure {
    database: Database,
    lag: Lag,
}

impl Measure {
    /// Measures what is kept in `database`, and what is still to be read.
    pub fn new(database: Database, lag: Lag) -> Self {
        Self { database, lag }
    }
}

impl Step for Measure {
    const NAME: &'static str = "measure";

    async fn step(&mut self) -> Result<Next, Failure> {
        match self.lag.measure().await {
            Ok(lag) => metrics::LAG.set(lag),
            // That the broker is away is told by whoever reads from it.
            Err(failure) => debug!(error = chain(&failure), "the lag is unknown"),
        }
        let backlog = deliveries::backlog(&self.database).await?;
        metrics::DUE.set(backlog.due);
        metrics::DEAD.set(backlog.dead);
        metrics::OLDEST_DUE_SECONDS.set(backlog.oldest_due_seconds);
        Ok(Next::Idle(INTERVAL))
    }
}
