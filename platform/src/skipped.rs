//! One impossible item must not stop a step that works in batches. The batch is halved until the impossible item is
//! alone. That item is skipped for a while, and the other items go on.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus::IntGaugeVec;

use crate::{failure::Failure, metrics};

/// The step tries an item again after this time, because somebody may have repaired it.
const RETRY_DELAY: Duration = Duration::from_secs(60);
/// The same for an item that others hold a lock for.
const LOCKED_DELAY: Duration = Duration::from_secs(5);

metrics! {
    /// Items that a step of background work cannot do and skips, by worker.
    SKIPPED: IntGaugeVec = gauges("worker_skipped_items", &["worker"]);
}

/// Shows at zero how many items the worker skips.
pub(crate) fn declare_for(worker: &str) {
    SKIPPED.with_label_values(&[worker]);
}

/// The items that a worker skips, by their ids, each with the time of its retry. Clones share the items.
#[derive(Debug, Clone)]
pub struct Skipped<I = i64> {
    worker: &'static str,
    retry_at: Arc<Mutex<HashMap<I, Instant>>>,
}

impl<I: Copy + Eq + Hash> Skipped<I> {
    pub fn new(worker: &'static str) -> Self {
        Self { worker, retry_at: Arc::default() }
    }

    /// The items that the worker must leave out now.
    pub fn items(&self) -> Vec<I> {
        let now = Instant::now();
        self.update(|retry_at| {
            retry_at.retain(|_, retry_at| *retry_at > now);
            retry_at.keys().copied().collect()
        })
    }

    pub fn add(&self, item: I, failure: &Failure) {
        let delay = if matches!(failure, Failure::Locked(_)) { LOCKED_DELAY } else { RETRY_DELAY };
        self.update(|retry_at| retry_at.insert(item, Instant::now() + delay));
    }

    /// The item is done.
    pub fn remove(&self, item: I) {
        self.update(|retry_at| retry_at.remove(&item));
    }

    fn update<T>(&self, change: impl FnOnce(&mut HashMap<I, Instant>) -> T) -> T {
        let mut retry_at = self.retry_at.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = change(&mut retry_at);
        SKIPPED.with_label_values(&[self.worker]).set(retry_at.len().try_into().unwrap_or(i64::MAX));
        answer
    }
}

/// The number of items that were done, and the items that fail alone, each with its failure.
pub type Halved<'a, T> = (usize, Vec<(&'a T, Failure)>);

/// Runs `work` on all items; `work` returns how many items it did. If an item may be the reason of a failure, `work` runs
/// again on both halves. Any other failure, such as an outage of the database, ends the run.
pub async fn halve<'a, T, F>(
    items: &'a [T],
    may_be_an_item: impl Fn(&Failure) -> bool,
    work: impl Fn(&'a [T]) -> F,
) -> Result<Halved<'a, T>, Failure>
where
    F: Future<Output = Result<usize, Failure>>,
{
    let (mut done, mut failed) = (0, Vec::new());
    let mut batches = vec![items];
    while let Some(batch) = batches.pop().filter(|batch| !batch.is_empty()) {
        match (work(batch).await, batch) {
            (Ok(count), _) => done += count,
            (Err(failure), _) if !may_be_an_item(&failure) => return Err(failure),
            (Err(failure), [item]) => failed.push((item, failure)),
            (Err(_), _) => {
                let (first, second) = batch.split_at(batch.len() / 2);
                // `pop` takes the last batch first, so the first half comes last. The items keep their order.
                batches.extend([second, first]);
            }
        }
    }
    Ok((done, failed))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{cell::RefCell, future::ready};

    use super::*;

    fn is_unforeseen(failure: &Failure) -> bool {
        matches!(failure, Failure::Unforeseen(_))
    }

    #[tokio::test]
    async fn every_item_but_the_impossible_ones_is_done_once_and_in_order() {
        let done = RefCell::new(Vec::<i64>::new());
        let items: Vec<i64> = (1..=100).collect();
        let work = |batch: &[i64]| {
            if batch.iter().any(|item| [1, 50, 51, 100].contains(item)) {
                return ready(Err(Failure::unforeseen("impossible")));
            }
            done.borrow_mut().extend(batch);
            ready(Ok(batch.len()))
        };
        let (count, failed) = halve(&items, is_unforeseen, work).await.unwrap();
        let failed: Vec<_> = failed.into_iter().map(|(item, _)| *item).collect();
        assert_eq!((count, failed.as_slice()), (96, &[1, 50, 51, 100][..]));
        assert_eq!(done.into_inner(), items.into_iter().filter(|item| !failed.contains(item)).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_does_not_lie_in_the_items_is_not_looked_for_in_them() {
        let tries = RefCell::new(0);
        let work = |_: &[i64]| {
            *tries.borrow_mut() += 1;
            ready(Err(Failure::unavailable("Postgres", "gone")))
        };
        assert!(halve(&[1, 2, 3, 4], is_unforeseen, work).await.is_err());
        assert_eq!(tries.into_inner(), 1);
    }
}
