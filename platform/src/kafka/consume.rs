//! The step that consumes a topic. It stores the events of a batch, writes what cannot be read, and what the database
//! refuses, as dead letters, and commits the offsets last. A batch that cannot be stored for another reason stays in
//! memory, and the next step tries again. If that lasts, it leaves its group, so that a replica whose database answers
//! gets the partitions.

use std::{
    collections::BTreeMap,
    mem,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures::future::join_all;
use rdkafka::message::OwnedMessage;
use tokio_util::sync::CancellationToken;
use tracing::{Span, debug, info, warn};

use super::{
    Cluster, Lag, Pause,
    backlog::{Backlog, Progress},
    batch::{Arrival, Batch},
    consumer::Consumer,
    dead_letters::{DeadLetter, DeadLetterWriter},
    metrics,
};
use crate::{
    failure::{Failure, chain},
    postgres::is_of_the_data,
    skipped::halve,
    telemetry::trace,
    worker::{Next, Step},
};

/// A step that gets no record within this time is idle.
const POLL_TIMEOUT: Duration = Duration::from_secs(5);

/// If a batch cannot be stored for this long, others may be able to store it.
const LEAVE_AFTER: Duration = Duration::from_secs(10);

/// Reads and stores the records of a topic; each service has its own.
pub trait Reader: Send + Sync + 'static {
    type Event: Send + Sync;

    /// Reads a record and sets the fields of its span. The error says in words why the record is unreadable.
    fn read(&self, record: &OwnedMessage, span: &Span) -> Result<Self::Event, String>;

    /// Stores all events, or none if it fails. Returns the number of new events. An event that the database refuses for
    /// its data, or this for its own reasons as [`Refused`], becomes a dead letter. An event that arrives again must change
    /// nothing.
    fn keep(&self, arrivals: &[Arrival<Self::Event>]) -> impl Future<Output = Result<usize, Failure>> + Send;
}

/// The cause of an unforeseen failure to store an event that can be read and never can be stored.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

fn is_of_the_event(failure: &Failure) -> bool {
    is_of_the_data(failure) || matches!(failure, Failure::Unforeseen(cause) if cause.is::<Refused>())
}

#[derive(Debug, Clone)]
pub struct Subscription {
    pub cluster: Cluster,
    pub topic: String,
    pub dead_letter_topic: String,
    pub group: String,
}

pub struct Consume<R: Reader> {
    reader: R,
    consumer: Consumer,
    dead_letters: DeadLetterWriter,
    /// A batch that could not be stored yet, and when that was first tried.
    batch: Option<(Batch<R::Event>, Instant)>,
    /// Whether the group was left because of it.
    has_left: bool,
    backlog: Backlog,
}

impl<R: Reader> Consume<R> {
    /// The broker and the topic need not exist yet. Waiting for records ends when `stop` is cancelled.
    pub fn new(subscription: &Subscription, pause: Pause, stop: CancellationToken, reader: R) -> anyhow::Result<Self> {
        let Subscription { cluster, topic, dead_letter_topic, group } = subscription;
        let consumer = Consumer::join(cluster, topic, group, pause, stop).context("kafka")?;
        let dead_letters = DeadLetterWriter::new(cluster, dead_letter_topic).context("kafka")?;
        let backlog = Backlog::new(consumer.generation());
        Ok(Self { reader, consumer, dead_letters, batch: None, has_left: false, backlog })
    }

    pub fn lag(&self) -> anyhow::Result<Lag> {
        self.consumer.lag().context("kafka")
    }

    /// Returns the letters that could not be written.
    async fn write_letters(&self, letters: Vec<DeadLetter>) -> Vec<DeadLetter> {
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
            if self.backlog.is_empty() {
                warn!(error, letters, "dead letters cannot be written; their partitions wait");
            } else {
                debug!(error, letters, "dead letters still cannot be written");
            }
        }
        failed.into_iter().map(|(_, letter)| letter).collect()
    }

    /// Commits no offset after an unwritten dead letter. Partitions with unwritten letters are not read further.
    fn commit(&mut self, next_offsets: BTreeMap<i32, i64>, unwritten: Vec<DeadLetter>) {
        let Progress { next_offsets, hold, release } = self.backlog.advance(next_offsets, unwritten);
        if !next_offsets.is_empty() {
            self.consumer.commit(&next_offsets);
        }
        for partition in hold {
            self.consumer.hold(partition);
        }
        for partition in release {
            self.consumer.release(partition);
        }
    }
}

/// An event that can be read, and that is refused: a later try would end the same.
fn letter_of_refused<E>((arrival, failure): (&Arrival<E>, Failure)) -> DeadLetter {
    let Arrival { span, record, .. } = arrival;
    let reason = chain(&failure);
    span.in_scope(|| warn!(error = reason, "event cannot be stored and becomes a dead letter"));
    trace::fail(span, "refused");
    DeadLetter { record: record.clone(), reason, span: span.clone() }
}

impl<R: Reader> Step for Consume<R> {
    const NAME: &'static str = "consume";

    async fn step(&mut self) -> Result<Next, Failure> {
        let (batch, tried_since) = match self.batch.take() {
            Some(tried) => tried,
            None => {
                let timeout = self.backlog.retry_in().map_or(POLL_TIMEOUT, |retry_in| retry_in.min(POLL_TIMEOUT));
                let records = self.consumer.batch(timeout).await;
                self.backlog.clear_after_rebalance(self.consumer.generation());
                (Batch::read(records, self.consumer.group_name(), &self.reader), Instant::now())
            }
        };
        if batch.is_empty() && !self.backlog.is_retry_due() {
            return Ok(Next::Idle(Duration::ZERO));
        }
        let mut letters_of_refused = Vec::new();
        if !batch.arrivals.is_empty() {
            match halve(&batch.arrivals, is_of_the_event, |arrivals| self.reader.keep(arrivals)).await {
                Ok((new, refused)) => {
                    metrics::EVENTS.with(["stored"]).inc_by(new as u64);
                    metrics::EVENTS.with(["duplicate"]).inc_by((batch.arrivals.len() - refused.len() - new) as u64);
                    if mem::take(&mut self.has_left) {
                        // All of it is read again, by whoever has the partitions now.
                        info!("events can be stored again; the consumer group is joined");
                        return Ok(Next::Worked);
                    }
                    letters_of_refused = refused.into_iter().map(letter_of_refused).collect();
                }
                Err(failure) => {
                    self.batch = Some((batch, tried_since));
                    if tried_since.elapsed() > LEAVE_AFTER && !self.has_left {
                        warn!("events cannot be stored; the consumer group is left until they can");
                        self.consumer.leave().await;
                        self.has_left = true;
                    }
                    return Err(failure);
                }
            }
        }
        let Batch { arrivals, letters: unreadable, next_offsets } = batch;
        // This ends the spans of the stored events. Writing dead letters is not part of them.
        drop(arrivals);
        let mut letters = self.backlog.take_due();
        letters.extend(unreadable.into_iter().chain(letters_of_refused));
        let unwritten = self.write_letters(letters).await;
        self.commit(next_offsets, unwritten);
        Ok(Next::Worked)
    }
}
