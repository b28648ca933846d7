//! The background step that publishes the outbox, in waves: the oldest unsent events, those of different orders in flight at
//! once, those of one order one after the other. What is acknowledged is deleted, the rest stays. A wave after failures begins behind them, and comes back to
//! them when it has been through the outbox, so that an event that fails holds back the later ones of its order and
//! nobody else's. One replica at a time does it.
//!
//! Its transaction is open while the broker is spoken to: the lock in it is what keeps a second relay away, and goes by
//! itself with the process that holds it. An event whose deletion is lost is published again, with the same identity.

use std::{
    collections::{BTreeSet, HashSet},
    time::{Duration, Instant},
};

use platform::{
    failure::{Failure, chain},
    postgres::{Database, Locks},
    worker::{Next, Step},
};

use tracing::warn;

use crate::{
    domain::unsent::Unsent,
    kafka::Publisher,
    metrics,
    store::{floor::Floor, outbox},
};

/// How many events are published at once.
const WAVE: usize = 500;
/// How often it looks for events that nobody woke it for: those of other replicas, and those left behind.
const PAUSE: Duration = Duration::from_millis(500);

pub struct Relay {
    database: Database,
    publisher: Publisher,
    floor: Floor,
    /// The place in the outbox that the next wave begins behind, if the last one had failures.
    behind: Option<i64>,
    /// The events that the broker did not take when they were last tried, each told once.
    failing: HashSet<i64>,
}

impl Relay {
    pub fn new(database: Database, publisher: Publisher) -> Self {
        Self { database, publisher, floor: Floor::default(), behind: None, failing: HashSet::new() }
    }
}

impl Step for Relay {
    const NAME: &'static str = "relay";

    async fn step(&mut self) -> Result<Next, Failure> {
        self.publisher.prepare().await?;
        if self.behind.is_none() {
            // Most looks find nothing, and need no transaction.
            let (has_events, snapshot) = outbox::has_events(&self.database, self.floor.place()).await?;
            if !has_events {
                self.floor.raise(snapshot, None);
                return Ok(Next::Idle(PAUSE));
            }
        }
        let lock = BTreeSet::from([outbox::RELAY_LOCK]);
        let (mut transaction, held) = self.database.begin_locked("relay_events", &lock, Locks::Skip).await?;
        if !held.is_empty() {
            // Another relay publishes.
            transaction.release().await?;
            return Ok(Next::Idle(PAUSE));
        }
        let mut wave = Vec::new();
        if let Some(behind) = self.behind {
            wave = outbox::wave(&mut transaction, behind, WAVE).await?.events;
        }
        if wave.is_empty() {
            // In the same step, or a relay that has nothing but failures would seem to work in between.
            self.behind = None;
            let whole = outbox::wave(&mut transaction, self.floor.place(), WAVE).await?;
            let places = whole.events.first().zip(whole.events.last());
            self.floor.raise(whole.snapshot, places.map(|(first, last)| (first.id, last.id)));
            wave = whole.events;
        }
        let Some(last) = wave.last() else {
            transaction.release().await?;
            return Ok(Next::Idle(PAUSE));
        };
        let (last, began) = (last.id, Instant::now());
        let results = self.publisher.publish(&wave).await?;
        let mut published = Vec::with_capacity(wave.len());
        let mut failures = Vec::new();
        for (unsent, result) in std::iter::zip(&wave, results) {
            match result {
                Some(Ok(())) => published.push(unsent.id),
                Some(Err(failure)) => failures.push((unsent, failure)),
                None => {}
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
        self.failing.retain(|id| !published.contains(id));
        if failures.is_empty() {
            return Ok(Next::Worked);
        }
        self.behind = Some(last);
        // A broker that takes nothing fails for all events; the oldest of them stands for the rest.
        let told = if published.is_empty() { 1 } else { failures.len() };
        for (Unsent { id, event, .. }, failure) in &failures[..told] {
            if self.failing.insert(*id) {
                let (order, error) = (event.order.get(), chain(failure));
                warn!(order.id = order, event.id = event.id, error, "the broker does not take this event");
            }
        }
        // The broker takes some: what it does not take is no reason to leave the rest alone.
        match failures.pop() {
            Some((_, failure)) if published.is_empty() => Err(failure),
            _ => Ok(Next::Worked),
        }
    }
}
