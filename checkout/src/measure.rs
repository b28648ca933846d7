//! The background step that measures the purchases under way.

use std::time::Duration;

use platform::{
    failure::Failure,
    postgres::Database,
    worker::{Next, Step},
};

use crate::{metrics, store::purchase};

/// How often it looks; scrapes are no more frequent.
const PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Measure {
    pub database: Database,
}

impl Step for Measure {
    const NAME: &'static str = "measure";

    async fn step(&mut self) -> Result<Next, Failure> {
        let pending = purchase::backlog(&self.database).await?;
        metrics::PURCHASES_PENDING.set(pending.count);
        metrics::OLDEST_PENDING_SECONDS.set(pending.oldest_seconds);
        Ok(Next::Idle(PAUSE))
    }
}
