//! The background step that measures what waits in the outbox, also and above all while the broker is down.

use std::time::Duration;

use platform::{
    failure::Failure,
    postgres::Database,
    worker::{Next, Step},
};

use crate::{metrics, store};

/// How often it looks; scrapes are no more frequent.
const PAUSE: Duration = Duration::from_secs(2);

/// Measures the outbox.
#[derive(Debug)]
pub struct OutboxWatch {
    database: Database,
}

impl OutboxWatch {
    /// Measures the outbox of this database.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

impl Step for OutboxWatch {
    const NAME: &'static str = "outbox_watch";

    async fn step(&mut self) -> Result<Next, Failure> {
        let backlog = store::outbox::backlog(&self.database).await?;
        metrics::OUTBOX_EVENTS.set(backlog.events);
        metrics::OUTBOX_OLDEST_AGE_SECONDS.set(backlog.oldest_age.as_secs().try_into().unwrap_or(i64::MAX));
        Ok(Next::Idle(PAUSE))
    }
}
