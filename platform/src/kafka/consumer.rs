//! Reads the topic of order events as a member of the consumer group.

use std::{
    collections::BTreeMap,
    mem,
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::{Message as _, OwnedMessage},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, info, warn};

use super::{KAFKA, Pause, group::Group, lag::Lag, member::Member, spans};

/// The most records of a batch.
const MAX_BATCH: usize = 500;
/// A batch ends when its payloads are this large together.
const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Differs from librdkafka's defaults where the reason says.
const SETTINGS: [(&str, &str); 8] = [
    ("auto.offset.reset", "earliest"),
    // Offsets are committed when their events are kept.
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // A replica that was killed is replaced after this long.
    ("session.timeout.ms", "6000"),
    // At least three times within that, and how soon a member hears that partitions are shared out anew.
    ("heartbeat.interval.ms", "1500"),
    // Some brokers answer no sooner than that, also when a record arrives.
    ("fetch.wait.max.ms", "100"),
    // A topic that is created later is found after this long.
    ("topic.metadata.refresh.interval.ms", "2000"),
    // A batch is far smaller; the rest would only wait in memory.
    ("queued.max.messages.kbytes", "32768"),
];

/// How long a member may be without partitions before another takes its place. It doubles each time, because there may
/// be more members than partitions.
const WITHOUT_PARTITIONS: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(600));

/// A replica's place in the consumer group, whatever happens to the broker.
pub(super) struct Consumer {
    member: Member,
    config: ClientConfig,
    topic: String,
    group: Group,
    /// The generation before the first partitions of `member`.
    joined_at: u64,
    pause: Pause,
    changes: watch::Receiver<bool>,
    stop: CancellationToken,
    trouble: Option<Trouble>,
    /// Whether `member` is of no more use, or every broker was gone since it joined.
    forsaken: bool,
    /// Since when it has been without partitions, and how long it may be.
    without: Option<(Instant, Duration)>,
}

/// What was reported and is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The broker fails or is gone.
    Broker,
    /// The topic does not exist.
    Topic,
}

impl Consumer {
    /// Joins the group `group` to read `topic`, as soon as both the broker and the topic are there. Waiting ends at
    /// `stop`.
    pub fn join(
        mut config: ClientConfig,
        topic: &str,
        group: &str,
        pause: Pause,
        stop: CancellationToken,
    ) -> KafkaResult<Self> {
        config.set("group.id", group);
        for (name, value) in SETTINGS {
            config.set(name, value);
        }
        let group = Group::new(pause.clone());
        let member = Member::join(&config, topic, group.clone())?;
        let (topic, changes) = (topic.to_owned(), pause.watch());
        Ok(Self {
            member,
            config,
            topic,
            group,
            joined_at: 0,
            pause,
            changes,
            stop,
            trouble: None,
            forsaken: false,
            without: None,
        })
    }

    /// A number that changes whenever partitions come or go.
    pub fn generation(&self) -> u64 {
        self.group.generation()
    }

    pub fn group_name(&self) -> &str {
        self.config.get("group.id").unwrap_or_default()
    }

    pub fn lag(&self) -> KafkaResult<Lag> {
        Lag::new(&self.config, &self.topic, self.group.clone())
    }

    /// The next records, as many as are there already; none when nothing came within `patience`.
    pub async fn batch(&mut self, patience: Duration) -> Vec<OwnedMessage> {
        let span = spans::poll(&self.topic, self.group_name());
        let batch = self.poll(patience).instrument(span.clone()).await;
        span.record("messaging.batch.message_count", i64::try_from(batch.len()).unwrap_or(i64::MAX));
        batch
    }

    async fn poll(&mut self, patience: Duration) -> Vec<OwnedMessage> {
        // A member that never had partitions still waits for its first.
        let forsaken = mem::take(&mut self.forsaken) && self.generation() != self.joined_at;
        if forsaken || self.is_left_out() {
            self.rejoin().await;
        }
        let mut batch = Vec::new();
        let first = tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            Ok(()) = self.changes.changed() => {
                self.apply_pause();
                None
            }
            received = self.member.recv() => Some(received.map(|record| record.detach())),
            () = tokio::time::sleep(patience) => None,
        };
        let mut next = first;
        let mut bytes = 0;
        while let Some(received) = next {
            match received {
                Ok(record) => {
                    bytes += record.payload().map_or(0, <[u8]>::len);
                    batch.push(record);
                }
                Err(error) => {
                    self.report(&error);
                    self.forsaken |= error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown)
                        || matches!(error, KafkaError::MessageConsumptionFatal(_));
                    break;
                }
            }
            if batch.len() >= MAX_BATCH || bytes >= MAX_BATCH_BYTES {
                break;
            }
            next = self.member.recv().now_or_never().map(|received| received.map(|record| record.detach()));
        }
        if !batch.is_empty() && self.trouble.take().is_some() {
            info!("{KAFKA} answers again");
        }
        batch
    }

    /// Whether the member has been without partitions for too long. A broker that stood still for a while may forget to
    /// give any to a member that it took for lost.
    fn is_left_out(&mut self) -> bool {
        if self.member.assignment().is_ok_and(|partitions| partitions.count() > 0) {
            self.without = None;
            return false;
        }
        let (since, patience) = *self.without.get_or_insert((Instant::now(), WITHOUT_PARTITIONS.0));
        let is_left_out = since.elapsed() >= patience;
        if is_left_out {
            self.without = Some((Instant::now(), (patience * 2).min(WITHOUT_PARTITIONS.1)));
        }
        is_left_out
    }

    /// Begins anew as a member that has read nothing. A broker that was gone may come back empty, and then an offset of
    /// before means another record, or none.
    async fn rejoin(&mut self) {
        match Member::join(&self.config, &self.topic, self.group.clone()) {
            Ok(new) => {
                // Otherwise it may be given the partitions that its successor waits for.
                self.member.unsubscribe();
                let old = mem::replace(&mut self.member, new);
                if let Err(error) = tokio::task::spawn_blocking(move || drop(old)).await {
                    warn!(%error, "a consumer could not be closed");
                }
                self.group.begin_generation();
                self.joined_at = self.generation();
            }
            Err(error) => warn!(%error, "a new consumer could not be set up; the old one goes on"),
        }
    }

    /// Says that everything before these offsets is done with, by partition. Not waited for: what is not committed is
    /// read again, and recognised.
    pub fn commit(&self, offsets: &BTreeMap<i32, i64>) {
        let mut list = TopicPartitionList::new();
        let committed = offsets
            .iter()
            .try_for_each(|(partition, offset)| {
                list.add_partition_offset(&self.topic, *partition, Offset::Offset(*offset))
            })
            .and_then(|()| self.member.commit(&list, CommitMode::Async));
        if let Err(error) = committed {
            debug!(%error, "offsets were not committed");
        }
    }

    /// Makes a partition stand still until [`Consumer::release`] or until partitions come or go.
    pub fn hold(&self, partition: i32) {
        self.note(self.member.pause(&self.one(partition)));
    }

    /// Ends what [`Consumer::hold`] began.
    pub fn release(&self, partition: i32) {
        if !self.pause.is_on() {
            self.note(self.member.resume(&self.one(partition)));
        }
    }

    fn one(&self, partition: i32) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        list
    }

    /// The group is kept while nothing is read: the consumer goes on answering to it.
    fn apply_pause(&self) {
        let applied = self.member.assignment().and_then(|partitions| {
            if self.pause.is_on() { self.member.pause(&partitions) } else { self.member.resume(&partitions) }
        });
        self.note(applied);
    }

    fn note(&self, result: KafkaResult<()>) {
        if let Err(error) = result {
            warn!(%error, "partitions could not be paused or resumed");
        }
    }

    /// librdkafka goes on by itself after an error, so all there is to do is to say it, once.
    fn report(&mut self, error: &KafkaError) {
        let is_topic = error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownTopicOrPartition);
        let trouble = if is_topic { Trouble::Topic } else { Trouble::Broker };
        if self.trouble.replace(trouble) == Some(trouble) {
            debug!(%error, "{KAFKA} still fails");
        } else {
            match trouble {
                Trouble::Topic => warn!("waiting for the topic, which LOMS creates"),
                Trouble::Broker => warn!(%error, "{KAFKA} fails; reading goes on when it is back"),
            }
        }
    }
}
