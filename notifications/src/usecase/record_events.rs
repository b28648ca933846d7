//! Events arrive: each is kept once, and its delivery becomes due.

use platform::{failure::Failure, postgres::Database, worker::Wake};
use tracing::{Span, info};

use crate::{
    metrics,
    store::messages::{self, Arrival},
};

/// Keeps events and has them delivered.
pub struct RecordEvents {
    database: Database,
    /// Wakes whoever delivers; without one, messages are only kept and logged.
    deliver: Option<Wake>,
}

impl RecordEvents {
    /// Keeps events in `database`, and wakes `deliver` for the new ones.
    pub fn new(database: Database, deliver: Option<Wake>) -> Self {
        Self { database, deliver }
    }

    /// Keeps all events or, when it fails, none. The spans are those in which they were read.
    pub async fn run(&self, arrivals: &[(Span, Arrival)]) -> Result<(), Failure> {
        if arrivals.is_empty() {
            return Ok(());
        }
        let batch: Vec<_> = arrivals.iter().map(|(_, arrival)| arrival.clone()).collect();
        let mut new = messages::keep(&self.database, &batch, self.deliver.is_some()).await?;
        let stored = new.len();
        for (span, Arrival { event, .. }) in arrivals {
            // Taken out, so that the second of two equal events counts as the duplicate it is.
            let is_new = new.remove(&event.id);
            let result = if is_new { "stored" } else { "duplicate" };
            metrics::EVENTS.with_label_values(&[result]).inc();
            if is_new {
                metrics::EVENT_AGE_SECONDS.observe(metrics::age_seconds(event.occurred_at));
            }
            let _entered = span.enter();
            if is_new && self.deliver.is_none() {
                info!(
                    event.id = event.id,
                    status = event.status,
                    text = event.text,
                    "message kept; telegram is not configured"
                );
            } else {
                info!(event.id = event.id, status = event.status, result, "event read");
            }
        }
        if let Some(deliver) = &self.deliver
            && stored > 0
        {
            deliver.wake();
        }
        Ok(())
    }
}
