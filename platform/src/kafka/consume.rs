//! The step that consumes a topic. The events of a batch are kept, what is unreadable becomes dead letters, and only then
//! are its offsets committed. A batch that cannot be kept stays in memory and is tried again.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use futures::future::join_all;
use rdkafka::message::OwnedMessage;
use tokio_util::sync::CancellationToken;
use tracing::{Span, debug, warn};

use super::{
    Lag, Pause,
    batch::{Arrival, Batch},
    client,
    consumer::Consumer,
    dead_letters::{DeadLetter, DeadLetters},
    debts::{Debts, Settled},
    metrics,
};
use crate::{
    config::HostPort,
    failure::{Failure, chain},
    worker::{Next, Step},
};

/// How long a step waits for events before it says that there is nothing to do.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a service makes of the records of a topic.
pub trait Reader: Send + Sync + 'static {
    type Event: Send + Sync;

    /// Reads a record, and notes in its span what it is about. The error says for people why it is unreadable.
    fn read(&self, record: &OwnedMessage, span: &Span) -> Result<Self::Event, String>;

    /// Keeps all events or, when it fails, none; answers how many of them were not kept before. A record may arrive again
    /// at any time, and then must change nothing.
    fn keep(&self, arrivals: &[Arrival<Self::Event>]) -> impl Future<Output = Result<usize, Failure>> + Send;
}

/// What is read, and on whose behalf.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Names the client towards the broker.
    pub client: &'static str,
    pub brokers: Vec<HostPort>,
    pub topic: String,
    /// Where unreadable records go.
    pub dead_letter_topic: String,
    pub group: String,
}

/// Consumes a topic.
pub struct Consume<R: Reader> {
    reader: R,
    consumer: Consumer,
    dead_letters: DeadLetters,
    /// What was read and is not kept yet.
    batch: Option<Batch<R::Event>>,
    debts: Debts,
}

impl<R: Reader> Consume<R> {
    /// Joins the consumer group as soon as both the broker and the topic are there. Waiting for records ends at `stop`.
    pub fn new(subscription: &Subscription, pause: Pause, stop: CancellationToken, reader: R) -> anyhow::Result<Self> {
        metrics::declare();
        let Subscription { client: name, brokers, topic, dead_letter_topic, group } = subscription;
        let client = client(name, brokers);
        let consumer = Consumer::join(client.clone(), topic, group, pause, stop).context("brokers")?;
        let dead_letters = DeadLetters::new(&client, dead_letter_topic).context("brokers")?;
        let debts = Debts::new(consumer.generation());
        Ok(Self { reader, consumer, dead_letters, batch: None, debts })
    }

    /// Measures how far this consumer is behind.
    pub fn lag(&self) -> anyhow::Result<Lag> {
        self.consumer.lag().context("brokers")
    }

    /// Writes dead letters; answers those that could not be written.
    async fn write(&self, letters: Vec<DeadLetter>) -> Vec<DeadLetter> {
        let writes = letters.into_iter().map(async |letter| match self.dead_letters.write(&letter).await {
            Ok(()) => {
                metrics::EVENTS.with(["dead_lettered"]).inc();
                None
            }
            Err(failure) => {
                metrics::DEAD_LETTER_FAILURES.inc();
                Some((failure, letter))
            }
        });
        let failed: Vec<_> = join_all(writes).await.into_iter().flatten().collect();
        if let Some((failure, _)) = failed.first() {
            let (error, letters) = (chain(failure), failed.len());
            if self.debts.are_new() {
                warn!(error, letters, "dead letters cannot be written; their partitions wait");
            } else {
                debug!(error, letters, "dead letters still cannot be written");
            }
        }
        failed.into_iter().map(|(_, letter)| letter).collect()
    }

    /// Commits what is done with, and lets no partition run ahead of a dead letter that is owed.
    fn settle(&mut self, done: BTreeMap<i32, i64>, failed: Vec<DeadLetter>) {
        let Settled { done, owing, paid } = self.debts.settle(done, failed);
        if !done.is_empty() {
            self.consumer.commit(&done);
        }
        for partition in owing {
            self.consumer.hold(partition);
        }
        for partition in paid {
            self.consumer.release(partition);
        }
    }
}

impl<R: Reader> Step for Consume<R> {
    const NAME: &'static str = "consume";

    async fn step(&mut self) -> Result<Next, Failure> {
        let batch = match self.batch.take() {
            Some(batch) => batch,
            None => {
                let records = self.consumer.batch(self.debts.due_in().map_or(PATIENCE, |due| due.min(PATIENCE))).await;
                self.debts.forget_unless(self.consumer.generation());
                Batch::read(records, self.consumer.group_name(), &self.reader)
            }
        };
        if batch.is_empty() && !self.debts.are_due() {
            return Ok(Next::Idle(Duration::ZERO));
        }
        if !batch.arrivals.is_empty() {
            match self.reader.keep(&batch.arrivals).await {
                Ok(new) => {
                    metrics::EVENTS.with(["stored"]).inc_by(new as u64);
                    metrics::EVENTS.with(["duplicate"]).inc_by((batch.arrivals.len() - new) as u64);
                }
                Err(failure) => {
                    self.batch = Some(batch);
                    return Err(failure);
                }
            }
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
