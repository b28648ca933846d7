//! The background step that publishes the outbox, in waves: the oldest unsent event of each order, all in flight at
//! once. What is acknowledged is deleted, the rest stays. A wave after failures begins behind them, and comes back to
//! them when it has been through the outbox, so that an event that fails holds back the later ones of its order and
//! nobody else's. One replica at a time does it.
//!
//! Its transaction is open while the broker is spoken to: the lock in it is what keeps a second relay away, and goes by
//! itself with the process that holds it. An event whose deletion is lost is published again, with the same identity.

use std::time::{Duration, Instant};

use platform::{
    failure::Failure,
    postgres::Database,
    worker::{Next, Step},
};

use crate::{kafka::Publisher, metrics, store::outbox};

/// How many events are in flight at once.
const WAVE: usize = 500;
/// How often it looks for events that nobody woke it for: those of other replicas, and those left behind.
const PAUSE: Duration = Duration::from_millis(500);

pub struct Relay {
    database: Database,
    publisher: Publisher,
    /// The place in the outbox that the next wave begins behind.
    behind: i64,
}

impl Relay {
    pub fn new(database: Database, publisher: Publisher) -> Self {
        Self { database, publisher, behind: 0 }
    }
}

impl Step for Relay {
    const NAME: &'static str = "relay";

    async fn step(&mut self) -> Result<Next, Failure> {
        self.publisher.prepare().await?;
        let mut transaction = self.database.begin("relay_events").await?;
        if !outbox::lock_relay(&mut transaction).await? {
            return Ok(Next::Idle(PAUSE));
        }
        let wave = outbox::wave(&mut transaction, self.behind, WAVE).await?;
        let Some(last) = wave.last() else {
            self.behind = 0;
            return Ok(Next::Idle(PAUSE));
        };
        let (last, began) = (last.id, Instant::now());
        let results = self.publisher.publish(&wave).await?;
        let mut published = Vec::with_capacity(wave.len());
        let mut failures = Vec::new();
        for (event, result) in std::iter::zip(&wave, results) {
            match result {
                Ok(()) => published.push(event.id),
                Err(failure) => failures.push(failure),
            }
        }
        // What the broker acknowledged is published, whatever becomes of its deletion.
        metrics::EVENTS_PUBLISHED.inc_by(published.len() as u64);
        metrics::EVENT_FAILURES.inc_by(failures.len() as u64);
        outbox::delete(&mut transaction, &published).await?;
        transaction.commit().await?;
        #[allow(clippy::cast_precision_loss, reason = "a wave has at most 500 events")]
        metrics::WAVE_EVENTS.observe(wave.len() as f64);
        metrics::WAVE_SECONDS.observe(began.elapsed().as_secs_f64());
        let Some(failure) = failures.into_iter().next() else { return Ok(Next::Worked) };
        self.behind = last;
        // The broker takes some: what it does not take is no reason to leave the rest alone.
        if published.is_empty() { Err(failure) } else { Ok(Next::Worked) }
    }
}
