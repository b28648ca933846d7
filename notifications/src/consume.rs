//! Consumes the topic in the background. The events of a batch are kept, what is unreadable becomes dead letters, and
//! only then are its offsets committed; a batch that cannot be kept stays in memory and is tried again.

mod batch;
mod debts;

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use platform::{
    failure::Failure,
    worker::{Next, Step},
};
use tracing::{debug, warn};

use crate::{
    kafka::{
        consumer::Consumer,
        dead_letters::{DeadLetter, DeadLetters},
    },
    metrics,
    usecase::record_events::RecordEvents,
};
use batch::Batch;
use debts::Debts;

/// How long a step waits for events before it says that there is nothing to do.
const PATIENCE: Duration = Duration::from_secs(5);

/// The step.
pub struct Consume {
    consumer: Consumer,
    events: RecordEvents,
    dead_letters: DeadLetters,
    /// What was read and is not kept yet.
    batch: Option<Batch>,
    debts: Debts,
}

impl Consume {
    /// Keeps the events that `consumer` reads.
    pub fn new(consumer: Consumer, events: RecordEvents, dead_letters: DeadLetters) -> Self {
        let debts = Debts::new(consumer.generation());
        Self { consumer, events, dead_letters, batch: None, debts }
    }

    /// Writes dead letters; answers those that could not be written.
    async fn write(&self, letters: Vec<DeadLetter>) -> Vec<DeadLetter> {
        let writes = letters.into_iter().map(async |letter| match self.dead_letters.write(&letter).await {
            Ok(()) => {
                metrics::EVENTS.with_label_values(&["dead_lettered"]).inc();
                None
            }
            Err(error) => {
                metrics::DEAD_LETTER_FAILURES.inc();
                Some((error, letter))
            }
        });
        let failed: Vec<_> = join_all(writes).await.into_iter().flatten().collect();
        if let Some((error, _)) = failed.first() {
            let letters = failed.len();
            if self.debts.are_new() {
                warn!(%error, letters, "dead letters cannot be written; their partitions wait");
            } else {
                debug!(%error, letters, "dead letters still cannot be written");
            }
        }
        failed.into_iter().map(|(_, letter)| letter).collect()
    }

    /// Commits what is done with, and lets no partition run ahead of a dead letter that is owed.
    fn settle(&mut self, done: BTreeMap<i32, i64>, failed: Vec<DeadLetter>) {
        let settled = self.debts.settle(done, failed);
        if !settled.done.is_empty() {
            self.consumer.commit(&settled.done);
        }
        for partition in settled.owing {
            self.consumer.hold(partition);
        }
        for partition in settled.paid {
            self.consumer.release(partition);
        }
    }
}

impl Step for Consume {
    const NAME: &'static str = "consume";

    async fn step(&mut self) -> Result<Next, Failure> {
        let batch = match self.batch.take() {
            Some(batch) => batch,
            None => {
                let records = self.consumer.batch(self.debts.due_in().map_or(PATIENCE, |due| due.min(PATIENCE))).await;
                self.debts.forget_unless(self.consumer.generation());
                Batch::read(records, self.consumer.group_name())
            }
        };
        if batch.is_empty() && !self.debts.are_due() {
            return Ok(Next::Idle(Duration::ZERO));
        }
        if let Err(failure) = self.events.run(&batch.arrivals).await {
            self.batch = Some(batch);
            return Err(failure);
        }
        let Batch { arrivals, unreadable, done } = batch;
        // Their spans end here: the events are kept.
        drop(arrivals);
        let mut letters = self.debts.take_due();
        letters.extend(unreadable);
        let failed = self.write(letters).await;
        self.settle(done, failed);
        Ok(Next::Worked)
    }
}
