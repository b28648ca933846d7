//! Reads a topic as a member of a consumer group. If the member cannot go on, a new one joins the group.

use std::{
    collections::BTreeMap,
    mem,
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _},
    error::KafkaResult,
    message::{Message as _, OwnedMessage},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, warn};

use super::{
    Cluster, Pause,
    group::GroupContext,
    lag::Lag,
    member::{LEAVE_TIMEOUT, Member},
    outages::{Outages, is_final},
    shares::lacks_a_member,
    spans,
};
use crate::failure::{Failure, chain};

const MAX_BATCH_RECORDS: usize = 500;
/// A batch ends when its payloads together reach this size.
const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;

const SETTINGS: [(&str, &str); 9] = [
    ("auto.offset.reset", "earliest"),
    // Offsets are committed only after their events are stored.
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // After this time, other replicas get the partitions of a killed one.
    ("session.timeout.ms", "6000"),
    // At least three heartbeats per session timeout. A member learns of a rebalance by its heartbeat.
    ("heartbeat.interval.ms", "1500"),
    // The broker gathers so much, or for so long: a transaction for each event would cost more than all others together.
    ("fetch.min.bytes", "65536"),
    ("fetch.wait.max.ms", "100"),
    // The time until the consumer finds a topic that was just created.
    ("topic.metadata.refresh.interval.ms", "2000"),
    // A batch is much smaller. More records would only fill the memory.
    ("queued.max.messages.kbytes", "8192"),
];

/// A member that has no partitions for so long asks the broker whether the group has none for it.
const UNASSIGNED_TIMEOUT: Duration = Duration::from_secs(15);

const LEAVE_POLL: Duration = Duration::from_millis(50);

pub(super) struct Consumer {
    member: Member,
    config: ClientConfig,
    topic: String,
    group: GroupContext,
    /// The generation when `member` joined, before it had partitions.
    joined_generation: u64,
    pause: Pause,
    pause_changes: watch::Receiver<bool>,
    stop: CancellationToken,
    outages: Outages,
    /// Set by a fatal error of `member`, when all brokers were gone, and when it left.
    should_rejoin: bool,
    /// Since when `member` has no partitions, or has asked why.
    unassigned: Option<Instant>,
}

impl Consumer {
    /// The broker and the topic need not exist yet. [`Consumer::batch`] stops waiting when `stop` is cancelled.
    pub fn join(
        cluster: &Cluster,
        topic: &str,
        group: &str,
        pause: Pause,
        stop: CancellationToken,
    ) -> KafkaResult<Self> {
        let mut config = cluster.client(&SETTINGS);
        config.set("group.id", group);
        let group = GroupContext::new(pause.clone());
        let member = Member::join(&config, topic, group.clone())?;
        let (topic, pause_changes) = (topic.to_owned(), pause.watch());
        Ok(Self {
            member,
            config,
            topic,
            group,
            joined_generation: 0,
            pause,
            pause_changes,
            stop,
            outages: Outages::default(),
            should_rejoin: false,
            unassigned: None,
        })
    }

    pub fn generation(&self) -> u64 {
        self.group.generation()
    }

    pub fn group_name(&self) -> &str {
        self.config.get("group.id").unwrap_or_default()
    }

    pub fn lag(&self) -> KafkaResult<Lag> {
        Lag::new(&self.config, &self.topic, self.group.clone())
    }

    /// Waits up to `timeout` for the first record, and takes the other records that have arrived by then.
    pub async fn batch(&mut self, timeout: Duration) -> Vec<OwnedMessage> {
        let span = spans::poll(&self.topic, self.group_name());
        let batch = self.poll(timeout).instrument(span.clone()).await;
        span.record("messaging.batch.message_count", i64::try_from(batch.len()).unwrap_or(i64::MAX));
        batch
    }

    async fn poll(&mut self, timeout: Duration) -> Vec<OwnedMessage> {
        // A member that never had partitions has read nothing, so it need not begin again.
        let should_rejoin = mem::take(&mut self.should_rejoin) && self.generation() != self.joined_generation;
        if should_rejoin || self.was_unassigned_too_long() && self.is_lost().await {
            self.rejoin().await;
        }
        let mut batch = Vec::new();
        let mut next = tokio::select! {
            // A stop or a pause comes before records.
            biased;
            () = self.stop.cancelled() => None,
            Ok(()) = self.pause_changes.changed() => {
                self.apply_pause();
                None
            }
            received = self.member.recv() => Some(received.map(|record| record.detach())),
            () = tokio::time::sleep(timeout) => None,
        };
        let mut bytes = 0;
        while let Some(received) = next {
            match received {
                Ok(record) => {
                    bytes += record.payload().map_or(0, <[u8]>::len);
                    batch.push(record);
                }
                Err(error) => {
                    self.should_rejoin |= is_final(&error);
                    self.outages.begin(self.group.quiet.trouble(error));
                    break;
                }
            }
            if batch.len() >= MAX_BATCH_RECORDS || bytes >= MAX_BATCH_BYTES {
                break;
            }
            next = self.member.recv().now_or_never().map(|received| received.map(|record| record.detach()));
        }
        if !batch.is_empty() {
            self.group.quiet.is_well();
            self.outages.end();
        }
        batch
    }

    fn was_unassigned_too_long(&mut self) -> bool {
        if self.member.assignment().is_ok_and(|partitions| partitions.count() > 0) {
            self.unassigned = None;
            return false;
        }
        let is_too_long = self.unassigned.get_or_insert_with(Instant::now).elapsed() >= UNASSIGNED_TIMEOUT;
        if is_too_long {
            self.unassigned = None;
        }
        is_too_long
    }

    /// A broker that was stuck may take a member for lost, and never give it partitions again. A group that has more members
    /// than partitions is left alone: whoever joins makes all of them share anew.
    async fn is_lost(&self) -> bool {
        let (member, topic, group) = (self.member.consumer(), self.topic.clone(), self.group_name().to_owned());
        let look = move || lacks_a_member(&member, &topic, &group);
        let looked = tokio::task::spawn_blocking(look).await.map_err(Failure::unforeseen);
        match looked.and_then(|looked| looked.map_err(|error| self.group.quiet.failure(error))) {
            Ok(is_lost) => is_lost,
            Err(failure) => {
                debug!(error = chain(&failure), "it is not known who has the partitions");
                false
            }
        }
    }

    /// Replaces the member by a new one that has read nothing. A broker may come back without its records, and then old
    /// offsets mean other records or none.
    async fn rejoin(&mut self) {
        match Member::join(&self.config, &self.topic, self.group.clone()) {
            Ok(new) => {
                // Otherwise the old member may get the partitions that the new one waits for.
                self.member.unsubscribe();
                let old = mem::replace(&mut self.member, new);
                if let Err(error) = tokio::task::spawn_blocking(move || drop(old)).await {
                    warn!(%error, "a consumer could not be closed");
                }
                self.group.begin_generation();
                self.joined_generation = self.generation();
            }
            Err(error) => warn!(%error, "a new consumer could not be set up; the old one goes on"),
        }
    }

    /// Leaves the group, so that others get its partitions. The next [`batch`](Self::batch) joins it again.
    pub async fn leave(&mut self) {
        self.member.unsubscribe();
        let left = async {
            // The member gives its partitions back while it is asked for records.
            while self.member.assignment().is_ok_and(|partitions| partitions.count() > 0) {
                let _ = tokio::time::timeout(LEAVE_POLL, self.member.recv()).await;
            }
        };
        if tokio::time::timeout(LEAVE_TIMEOUT, left).await.is_err() {
            debug!("the partitions were not given back in time");
        }
        self.should_rejoin = true;
    }

    /// By partition, the offset of the next record to read.
    pub fn commit(&self, next_offsets: &BTreeMap<i32, i64>) {
        let mut list = TopicPartitionList::new();
        let committed = next_offsets
            .iter()
            .try_for_each(|(partition, offset)| {
                list.add_partition_offset(&self.topic, *partition, Offset::Offset(*offset))
            })
            // Nobody waits for the commit. If it fails, the events are read again and found to be duplicates.
            .and_then(|()| self.member.commit(&list, CommitMode::Async));
        if let Err(error) = committed {
            debug!(%error, "offsets were not committed");
        }
    }

    /// Does not read a partition until [`Consumer::release`] or the next rebalance.
    pub fn hold(&self, partition: i32) {
        warn_if_failed(self.member.pause(&self.list_of(partition)));
    }

    pub fn release(&self, partition: i32) {
        if !self.pause.is_on() {
            warn_if_failed(self.member.resume(&self.list_of(partition)));
        }
    }

    fn list_of(&self, partition: i32) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        list
    }

    /// A paused consumer stays in its group.
    fn apply_pause(&self) {
        let applied = self.member.assignment().and_then(|partitions| {
            if self.pause.is_on() { self.member.pause(&partitions) } else { self.member.resume(&partitions) }
        });
        warn_if_failed(applied);
    }
}

fn warn_if_failed(paused_or_resumed: KafkaResult<()>) {
    if let Err(error) = paused_or_resumed {
        warn!(%error, "partitions could not be paused or resumed");
    }
}
