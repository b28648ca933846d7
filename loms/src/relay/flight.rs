//! Events that are on their way to the broker, by partition of the topic. A partition that did not take the last event it
//! was given gets no more than one wave, for it may have no leader; the others go on meanwhile. So an event that is waited
//! for holds up those of its partition at most.
//!
//! A flight ends within about twice the time that an event may take, because the transaction around it must.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use platform::failure::Failure;
use proto::ids::OrderId;
use tokio::time::timeout_at;

use crate::{
    domain::unsent::Unsent,
    kafka::{MESSAGE_TIMEOUT, Publisher, Tried},
};

/// Partitions that may not take events are tried until then, so that their events are given up long before the end.
const TRIES_FOR: Duration = Duration::from_secs(1);
/// Partitions that take events get more of them until then.
const LASTS: Duration = MESSAGE_TIMEOUT.saturating_mul(2);
/// How long events are waited for before more are sent, if their partitions take events.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same if one may not: the others must not wait for it.
const LITTLE_PATIENCE: Duration = Duration::from_millis(100);

/// Events of one order that came to their end.
struct Flown {
    order: OrderId,
    tried: Vec<Tried>,
}

pub(super) struct Flight {
    since: Instant,
    on_their_way: FuturesUnordered<BoxFuture<'static, Flown>>,
    /// The partitions of the orders that are on their way.
    partitions: HashMap<OrderId, usize>,
    /// The partitions that took the last event they were given, here or in a flight before.
    good: HashSet<usize>,
    /// Those that were tried in this flight without being good.
    tried: HashSet<usize>,
    has_published: bool,
    failures: Vec<(Unsent, Failure)>,
    failed: HashSet<OrderId>,
}

/// What came to its end while it was waited for.
#[derive(Debug, Default)]
pub(super) struct Landed {
    /// The places of the events that the broker has acknowledged.
    pub published: Vec<i64>,
    /// Whether a partition takes events of which that was not known. Others of its events may have been passed over.
    pub has_found_a_partition: bool,
}

/// What became of a flight.
pub(super) struct Outcome {
    pub has_published: bool,
    pub failures: Vec<(Unsent, Failure)>,
    /// For the next flight.
    pub good: HashSet<usize>,
}

impl Flight {
    pub fn new(good: HashSet<usize>) -> Self {
        Self {
            since: Instant::now(),
            on_their_way: FuturesUnordered::new(),
            partitions: HashMap::new(),
            good,
            tried: HashSet::new(),
            has_published: false,
            failures: Vec::new(),
            failed: HashSet::new(),
        }
    }

    /// Sends the events of a wave on their way, and passes over those of partitions that must be waited for. Returns how
    /// many were sent.
    pub fn launch(&mut self, publisher: &Publisher, wave: Vec<Unsent>) -> Result<usize, Failure> {
        let mut by_order = BTreeMap::<OrderId, Vec<Unsent>>::new();
        for unsent in wave {
            by_order.entry(unsent.event.order).or_default().push(unsent);
        }
        by_order.retain(|order, _| !self.partitions.contains_key(order) && !self.failed.contains(order));
        let (age, tried_before) = (self.since.elapsed(), self.tried.clone());
        let mut launched = 0;
        for (order, events) in by_order {
            let partition = publisher.partition(order);
            let is_good = self.good.contains(&partition);
            if age < LASTS && is_good || age < TRIES_FOR && !tried_before.contains(&partition) {
                launched += events.len();
                let publishing = publisher.publish(events)?;
                self.on_their_way.push(async move { Flown { order, tried: publishing.await } }.boxed());
                self.partitions.insert(order, partition);
                if !is_good {
                    self.tried.insert(partition);
                }
            }
        }
        Ok(launched)
    }

    /// Whether events that are read now could be sent.
    pub fn takes_more(&self) -> bool {
        let age = self.since.elapsed();
        age < TRIES_FOR || age < LASTS && !self.good.is_empty()
    }

    /// Whether nothing is on its way.
    pub fn is_over(&self) -> bool {
        self.on_their_way.is_empty()
    }

    /// Waits until everything has come to its end, but not much longer than that takes with good partitions.
    pub async fn land(&mut self) -> Landed {
        let is_good = self.partitions.values().all(|partition| self.good.contains(partition));
        let deadline = tokio::time::Instant::now() + if is_good { PATIENCE } else { LITTLE_PATIENCE };
        let mut landed = Landed::default();
        while let Ok(Some(flown)) = timeout_at(deadline, self.on_their_way.next()).await {
            self.note(flown, &mut landed);
        }
        landed
    }

    fn note(&mut self, Flown { order, tried }: Flown, landed: &mut Landed) {
        let Some(partition) = self.partitions.remove(&order) else { return };
        for Tried { unsent, result } in tried {
            match result {
                Ok(()) => {
                    landed.published.push(unsent.id);
                    landed.has_found_a_partition |= self.good.insert(partition);
                    self.has_published = true;
                }
                Err(failure) => {
                    self.good.remove(&partition);
                    self.tried.insert(partition);
                    self.failures.push((unsent, failure));
                    self.failed.insert(order);
                }
            }
        }
    }

    pub fn outcome(self) -> Outcome {
        Outcome { has_published: self.has_published, failures: self.failures, good: self.good }
    }
}
