//! The background step that publishes the outbox, in waves: the oldest unsent events, those of different orders in flight at
//! once, those of one order one after the other. What is acknowledged is deleted, the rest stays. What is not acknowledged
//! soon is waited for while other waves go on (`relay/flight.rs`). A wave after failures begins behind them, and comes
//! back to them when it has been through the outbox, so that an event that fails holds back the later ones of its order
//! and nobody else's. One replica at a time does it.
//!
//! Its transaction is open while the broker is spoken to: the lock in it is what keeps a second relay away, and goes by
//! itself with the process that holds it. An event whose deletion is lost is published again, with the same identity.

mod flight;

use std::{
    collections::{BTreeSet, HashSet},
    mem,
    time::{Duration, Instant},
};

use platform::{
    failure::{Failure, chain},
    postgres::{Database, Locks, Transaction},
    worker::{Next, Step},
};
use tracing::warn;

use crate::{
    domain::unsent::Unsent,
    kafka::Publisher,
    metrics,
    store::{floor::Floor, outbox},
};

use flight::{Flight, Landed, Outcome};

/// How many events a wave has at most.
const WAVE: usize = 500;
/// How many waves in a row a flight passes over, because their partitions take nothing.
const MAX_PASSED: usize = 20;
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
    /// The partitions that took the last event they were given.
    good: HashSet<usize>,
}

impl Relay {
    pub fn new(database: Database, publisher: Publisher) -> Self {
        let (floor, failing, good) = (Floor::default(), HashSet::new(), HashSet::new());
        Self { database, publisher, floor, behind: None, failing, good }
    }

    /// Publishes a wave, the first behind `start`, and more of them while some of it is not acknowledged. Returns what became
    /// of them, and the last place that was read.
    async fn publish(
        &mut self,
        transaction: &mut Transaction,
        start: i64,
        wave: Vec<Unsent>,
    ) -> Result<(Outcome, i64), Failure> {
        let mut flight = Flight::new(mem::take(&mut self.good));
        let last = self.go_on(transaction, start, wave, &mut flight).await;
        // Also when the database fails: another relay must not overtake what is on its way.
        while !flight.is_over() {
            flight.land().await;
        }
        Ok((flight.outcome(), last?))
    }

    async fn go_on(
        &mut self,
        transaction: &mut Transaction,
        start: i64,
        mut wave: Vec<Unsent>,
        flight: &mut Flight,
    ) -> Result<i64, Failure> {
        let (mut behind, mut last, mut passed) = (start, start, 0);
        loop {
            behind = wave.last().map_or(behind, |unsent| unsent.id);
            last = last.max(behind);
            let is_the_rest = wave.len() < WAVE;
            let launched = flight.launch(&self.publisher, wave)?;
            passed = if launched > 0 { 0 } else { passed + 1 };
            if launched > 0 {
                #[allow(clippy::cast_precision_loss, reason = "a wave has at most 500 events")]
                metrics::WAVE_EVENTS.observe(launched as f64);
            }
            // Events that are passed over are not waited for, if there are more behind them.
            if launched > 0 || is_the_rest {
                let Landed { published, has_found_a_partition } = flight.land().await;
                // What the broker acknowledged is published, whatever becomes of its deletion.
                metrics::EVENTS_PUBLISHED.inc_by(published.len() as u64);
                if !published.is_empty() {
                    outbox::delete(transaction, &published).await?;
                    self.failing.retain(|id| !published.contains(id));
                }
                if flight.is_over() {
                    return Ok(last);
                }
                if has_found_a_partition {
                    (behind, passed) = (start, 0);
                }
            }
            // The rest is for the next flight, which begins behind what this one has read.
            wave = match flight.takes_more() && passed < MAX_PASSED {
                true => outbox::wave(transaction, behind, WAVE).await?.events,
                false => Vec::new(),
            };
        }
    }

    /// Tells of events that the broker did not take, each once.
    fn tell(&mut self, failures: &[(Unsent, Failure)]) {
        for (Unsent { id, event, .. }, failure) in failures {
            if self.failing.insert(*id) {
                let (order, error) = (event.order.get(), chain(failure));
                warn!(order.id = order, event.id = event.id, error, "the broker does not take this event");
            }
        }
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
        let (mut start, mut wave) = (0, Vec::new());
        if let Some(behind) = self.behind {
            start = behind;
            wave = outbox::wave(&mut transaction, start, WAVE).await?.events;
        }
        if wave.is_empty() {
            // In the same step, or a relay that has nothing but failures would seem to work in between.
            self.behind = None;
            start = self.floor.place();
            let whole = outbox::wave(&mut transaction, start, WAVE).await?;
            let places = whole.events.first().zip(whole.events.last());
            self.floor.raise(whole.snapshot, places.map(|(first, last)| (first.id, last.id)));
            wave = whole.events;
        }
        if wave.is_empty() {
            transaction.release().await?;
            return Ok(Next::Idle(PAUSE));
        }
        let began = Instant::now();
        let (outcome, last) = self.publish(&mut transaction, start, wave).await?;
        transaction.commit().await?;
        metrics::WAVE_SECONDS.observe(began.elapsed().as_secs_f64());
        let Outcome { has_published, mut failures, good } = outcome;
        self.good = good;
        metrics::EVENT_FAILURES.inc_by(failures.len() as u64);
        if failures.is_empty() {
            return Ok(Next::Worked);
        }
        self.behind = Some(last);
        if has_published {
            // The broker takes some: what it does not take is no reason to leave the rest alone.
            self.tell(&failures);
            return Ok(Next::Worked);
        }
        // A broker that takes nothing fails for all events; one of them stands for the rest.
        self.tell(&failures[..1]);
        self.publisher.begin_anew().await?;
        match failures.pop() {
            Some((_, failure)) => Err(failure),
            None => Ok(Next::Worked),
        }
    }
}
