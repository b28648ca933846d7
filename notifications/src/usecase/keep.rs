//! Events arrive: each is kept once as a message, and its delivery becomes due.

use std::collections::HashSet;

use platform::{
    failure::Failure,
    kafka::{Arrival, Refused},
    postgres::Transaction,
};
use proto::event::Event;
use tracing::info;

use super::Messages;
use crate::{metrics, store::message};

impl Messages {
    /// Keeps all events or, when it fails, none; answers how many are new.
    pub async fn keep_events(&self, arrivals: &[Arrival<Event>]) -> Result<usize, Failure> {
        // Two replicas may keep the same events in different orders when a partition moves between them, and get in each
        // other's way.
        let attempt = |transaction| keep(transaction, arrivals, self.deliver.is_some());
        let mut new = self.database.transact("keep_messages", attempt).await?;
        let stored = new.len();
        for Arrival { event, span, .. } in arrivals {
            // Taken out, so that the second of two equal events counts as the duplicate it is.
            let is_new = new.remove(&event.id);
            if is_new {
                metrics::EVENT_AGE_SECONDS.observe(metrics::age_seconds(event.occurred_at));
            }
            span.in_scope(|| self.tell(event, is_new));
        }
        if let Some(deliver) = &self.deliver
            && stored > 0
        {
            deliver.wake();
        }
        Ok(stored)
    }

    /// Logs an event.
    fn tell(&self, Event { id, user, order, status, text, .. }: &Event, is_new: bool) {
        let (order, user) = (order.get(), user.get());
        if is_new && self.deliver.is_none() {
            let told = "message kept; telegram is not configured";
            info!(event.id = id, order.id = order, user.id = user, status, text, "{told}");
        } else {
            let result = if is_new { "stored" } else { "duplicate" };
            info!(event.id = id, order.id = order, user.id = user, status, result, "event read");
        }
    }
}

async fn keep(
    mut transaction: Transaction,
    arrivals: &[Arrival<Event>],
    deliver: bool,
) -> Result<HashSet<String>, Failure> {
    let new = message::keep(&mut transaction, arrivals, deliver).await?;
    if new.len() < arrivals.len()
        && let Some(id) = message::find_reused(&mut transaction, arrivals).await?
    {
        return Err(Failure::unforeseen(Refused(format!(
            "EventID {id} is that of an event which says something else"
        ))));
    }
    transaction.commit().await?;
    Ok(new)
}
