//! A step that works in batches must not stop because of one item that it can never do. Here the batch is halved until that
//! item stands alone. It is set aside for a while, under its own number, and the others go on.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use prometheus::IntGaugeVec;

use crate::{failure::Failure, metrics};

/// How long an item is set aside before it is tried again: somebody may have repaired it.
const PAUSE: Duration = Duration::from_secs(60);

metrics! {
    /// Items that a step of background work cannot do and has set aside, by worker.
    SET_ASIDE: IntGaugeVec = gauges("worker_set_aside_items", &["worker"]);
}

/// The items that a worker has set aside, each until when.
#[derive(Debug)]
pub struct SetAside {
    worker: &'static str,
    until: HashMap<i64, Instant>,
}

impl SetAside {
    pub fn new(worker: &'static str) -> Self {
        SET_ASIDE.with_label_values(&[worker]);
        Self { worker, until: HashMap::new() }
    }

    /// The items to pass over now.
    pub fn items(&mut self) -> Vec<i64> {
        let now = Instant::now();
        self.until.retain(|_, until| *until > now);
        self.measure();
        self.until.keys().copied().collect()
    }

    pub fn add(&mut self, item: i64) {
        self.until.insert(item, Instant::now() + PAUSE);
        self.measure();
    }

    fn measure(&self) {
        SET_ASIDE.with_label_values(&[self.worker]).set(self.until.len().try_into().unwrap_or(i64::MAX));
    }
}

/// How many items were done, and those that fail alone, each with the reason.
pub type Halved<'a, T> = (usize, Vec<(&'a T, Failure)>);

/// Does `work`, which answers how much it did, on all items, and on halves of them where it fails for a reason that lies in
/// the items. Fails itself for other reasons, such as a database that is away.
pub async fn halve<'a, T, F>(items: &'a [T], work: impl Fn(&'a [T]) -> F) -> Result<Halved<'a, T>, Failure>
where
    F: Future<Output = Result<usize, Failure>>,
{
    let (mut done, mut failed) = (0, Vec::new());
    let mut batches = vec![items];
    while let Some(batch) = batches.pop() {
        match (work(batch).await, batch) {
            (Ok(count), _) => done += count,
            (Err(_), []) => {}
            (Err(failure @ Failure::Unforeseen(_)), [item]) => failed.push((item, failure)),
            (Err(Failure::Unforeseen(_)), _) => {
                let (first, second) = batch.split_at(batch.len() / 2);
                // The last one in is the next one out: the items keep their order.
                batches.extend([second, first]);
            }
            (Err(failure), _) => return Err(failure),
        }
    }
    Ok((done, failed))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{cell::RefCell, future::ready};

    use super::*;

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
        let (count, failed) = halve(&items, work).await.unwrap();
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
        assert!(halve(&[1, 2, 3, 4], work).await.is_err());
        assert_eq!(tries.into_inner(), 1);
    }
}
