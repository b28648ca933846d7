//! Topics of one test, written and read as others do.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Duration,
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _, StreamConsumer},
    message::{Header, Headers as _, Message as _, OwnedHeaders, OwnedMessage},
    producer::{FutureProducer, FutureRecord},
};
use serde_json::Value;
use stack::testing::eventually;
use uuid::Uuid;

/// How many partitions each topic has.
pub const PARTITIONS: i32 = 3;
/// A record with everything around it must fit into the topic of dead letters.
const MAX_DEAD_LETTER_BYTES: &str = "2097152";

/// Names of topics and of a group that nobody else uses.
pub struct Topics {
    pub brokers: Vec<String>,
    pub orders: String,
    pub dead_letters: String,
    pub group: String,
    client: ClientConfig,
    producer: FutureProducer,
    /// By partition, where it ends. The local broker's own answer counts batches, not records.
    ends: Mutex<[i64; PARTITIONS as usize]>,
}

impl Topics {
    pub fn new(brokers: &[String]) -> Self {
        let id = Uuid::new_v4().simple();
        Self::named(brokers, &format!("orders-{id}"), &format!("notifications-{id}"))
    }

    pub fn named(brokers: &[String], orders: &str, group: &str) -> Self {
        let client = platform::kafka::client("test", brokers);
        let producer = client.clone().set("message.max.bytes", "100000000").set("linger.ms", "0").create().unwrap();
        Self {
            brokers: brokers.to_vec(),
            orders: orders.to_owned(),
            dead_letters: format!("{orders}.dlq"),
            group: group.to_owned(),
            client,
            producer,
            ends: Mutex::default(),
        }
    }

    /// Creates both topics, as LOMS does.
    pub async fn create(&self) {
        self.create_orders().await;
        self.create_dead_letters().await;
    }

    pub async fn create_orders(&self) {
        self.create_topic(NewTopic::new(&self.orders, PARTITIONS, TopicReplication::Fixed(1))).await;
    }

    pub async fn create_dead_letters(&self) {
        self.create_topic(self.dead_letters_topic().set("max.message.bytes", MAX_DEAD_LETTER_BYTES)).await;
    }

    /// Creates the topic of dead letters as somebody may who does not know what it is for.
    pub async fn create_small_dead_letters(&self) {
        self.create_topic(self.dead_letters_topic()).await;
    }

    fn dead_letters_topic(&self) -> NewTopic<'_> {
        NewTopic::new(&self.dead_letters, PARTITIONS, TopicReplication::Fixed(1))
    }

    async fn create_topic(&self, topic: NewTopic<'_>) {
        let admin: AdminClient<DefaultClientContext> = self.client.create().unwrap();
        for result in admin.create_topics([&topic], &AdminOptions::new()).await.unwrap() {
            result.unwrap();
        }
    }

    /// Publishes an event as LOMS does: its order decides on the partition.
    pub async fn publish(&self, event: &Value) {
        let order = event["OrderID"].as_i64().unwrap();
        self.put(i32::try_from(order % i64::from(PARTITIONS)).unwrap(), Some(event.to_string().as_bytes())).await;
    }

    /// Publishes events, all at once.
    pub async fn publish_all(&self, events: &[Value]) {
        futures::future::join_all(events.iter().map(|event| self.publish(event))).await;
    }

    /// Writes any payload into a partition; answers its offset.
    pub async fn put(&self, partition: i32, payload: Option<&[u8]>) -> i64 {
        self.put_with(partition, payload, OwnedHeaders::new()).await
    }

    /// Writes a payload that the broker takes only because it is compressed.
    pub async fn put_compressed(&self, partition: i32, payload: &[u8]) -> i64 {
        let mut config = self.client.clone();
        config.set("message.max.bytes", "100000000").set("compression.type", "gzip");
        let producer: FutureProducer = config.create().unwrap();
        let record: FutureRecord<'_, str, [u8]> = FutureRecord::to(&self.orders).partition(partition).payload(payload);
        self.note(partition, producer.send(record, Duration::from_secs(10)).await.unwrap().offset)
    }

    pub async fn put_with(&self, partition: i32, payload: Option<&[u8]>, headers: OwnedHeaders) -> i64 {
        let record: FutureRecord<'_, str, [u8]> = FutureRecord {
            payload,
            ..FutureRecord::to(&self.orders).partition(partition).key("the key").headers(headers)
        };
        self.note(partition, self.producer.send(record, Duration::from_secs(10)).await.unwrap().offset)
    }

    /// Writes a dead letter, as another program might.
    pub async fn put_dead_letter(&self, payload: Option<&[u8]>, headers: OwnedHeaders) {
        let record: FutureRecord<'_, str, [u8]> =
            FutureRecord { payload, ..FutureRecord::to(&self.dead_letters).headers(headers) };
        self.producer.send(record, Duration::from_secs(10)).await.unwrap();
    }

    /// Takes note of where a partition ends now.
    fn note(&self, partition: i32, offset: i64) -> i64 {
        let end = &mut self.ends.lock().unwrap()[usize::try_from(partition).unwrap()];
        *end = (*end).max(offset + 1);
        offset
    }

    /// Waits until there are so many dead letters, and answers them by the offset they came from.
    pub async fn dead_letters(&self, count: usize) -> BTreeMap<(i32, i64), DeadLetter> {
        let consumer: StreamConsumer = self.client.clone().set("group.id", "reader of dead letters").create().unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset(&self.dead_letters, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let mut found = BTreeMap::new();
        while found.len() < count {
            let received = tokio::time::timeout(Duration::from_secs(30), consumer.recv()).await;
            let letter = DeadLetter::of(received.expect("a dead letter arrives").unwrap().detach());
            found.insert((letter.number("partition"), letter.number("offset")), letter);
        }
        found
    }

    /// Waits until the group has committed everything that was published.
    pub async fn until_all_committed(&self) {
        eventually("everything is committed", async || (self.committed().await == self.ends()).then_some(())).await;
    }

    /// Waits until the group has so many members and has shared the partitions out among them, and answers their names.
    pub async fn until_members(&self, count: usize) -> BTreeSet<String> {
        eventually(&format!("the group has {count} members"), async || {
            let (config, group) = (self.client.clone(), self.group.clone());
            let look = move || {
                let consumer: BaseConsumer = config.create().unwrap();
                let list = consumer.fetch_group_list(Some(&group), Duration::from_secs(10)).unwrap();
                let stable = list.groups().iter().filter(|found| found.state() == "Stable");
                stable.flat_map(|found| found.members()).map(|member| member.id().to_owned()).collect::<BTreeSet<_>>()
            };
            Some(tokio::task::spawn_blocking(look).await.unwrap()).filter(|members| members.len() == count)
        })
        .await
    }

    /// By partition, where it ends.
    pub fn ends(&self) -> Vec<i64> {
        self.ends.lock().unwrap().to_vec()
    }

    /// By partition, what the group has committed; 0 stands for nothing.
    pub async fn committed(&self) -> Vec<i64> {
        let mut config = self.client.clone();
        config.set("group.id", &self.group);
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&self.orders, 0, PARTITIONS - 1);
        let look = move || {
            let consumer: BaseConsumer = config.create().unwrap();
            let committed = consumer.committed_offsets(list, Duration::from_secs(10)).unwrap();
            committed.elements().iter().map(|element| element.offset().to_raw().unwrap().max(0)).collect()
        };
        tokio::task::spawn_blocking(look).await.unwrap()
    }
}

/// A record of the topic of dead letters.
#[derive(Debug)]
pub struct DeadLetter {
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub headers: BTreeMap<String, Vec<u8>>,
}

impl DeadLetter {
    fn of(record: OwnedMessage) -> Self {
        let headers = record.headers().unwrap().iter();
        Self {
            key: record.key().map(Vec::from),
            payload: record.payload().map(Vec::from),
            headers: headers
                .map(|Header { key, value }| (key.to_owned(), value.unwrap_or_default().to_vec()))
                .collect(),
        }
    }

    pub fn header(&self, name: &str) -> &str {
        std::str::from_utf8(&self.headers[name]).unwrap()
    }

    fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(&self, name: &str) -> T {
        self.header(name).parse().unwrap()
    }
}
