//! The background step that measures what is still to be done: events to read, deliveries to make.

use std::time::Duration;

use platform::{
    failure::Failure,
    kafka::Lag,
    postgres::Database,
    worker::{Next, Step},
};

use crate::{metrics, store::delivery};

/// How old the gauges can be.
const PAUSE: Duration = Duration::from_secs(5);

pub struct Measure {
    pub database: Database,
    pub lag: Lag,
}

impl Step for Measure {
    const NAME: &'static str = "measure";

    async fn step(&mut self) -> Result<Next, Failure> {
        self.lag.measure().await;
        let backlog = delivery::backlog(&self.database).await?;
        metrics::DUE.set(backlog.due);
        metrics::DEAD.set(backlog.dead);
        metrics::OLDEST_DUE_SECONDS.set(backlog.oldest_due_seconds);
        Ok(Next::Idle(PAUSE))
    }
}
