//! Reads the topic of orders as any consumer would.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::Duration,
};

use platform::kafka::{Quiet, client};
use proto::event::ORDERS;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, StreamConsumer},
    message::{Headers as _, Message as _},
};
use serde_json::Value;
use stack::testing::eventually;

use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(20);

/// A record of the topic.
#[derive(Debug, Clone)]
pub struct Record {
    pub partition: i32,
    pub key: String,
    pub value: Value,
    pub headers: BTreeMap<String, String>,
}

impl Record {
    pub fn user(&self) -> i64 {
        self.value["UserId"].as_i64().unwrap()
    }

    pub fn order(&self) -> i64 {
        self.value["OrderID"].as_i64().unwrap()
    }

    pub fn status(&self) -> String {
        self.value["Status"].as_str().unwrap().to_owned()
    }

    pub fn event_id(&self) -> String {
        self.value["EventID"].as_str().unwrap().to_owned()
    }
}

/// Waits until the topic has so many records about these users, and answers all that it has, by partition and offset.
///
/// A broker may show a record a moment after it acknowledged it.
pub async fn records_of(brokers: &[String], users: &[i64], expected: usize) -> Vec<Record> {
    eventually("the topic has the records", async || {
        let brokers = brokers.to_vec();
        let mut records = tokio::task::spawn_blocking(move || read_all(&brokers)).await.unwrap();
        records.retain(|record| users.contains(&record.user()));
        (records.len() >= expected).then_some(records)
    })
    .await
}

/// Waits until everything is published; the rest as [`records_of`].
pub async fn published(world: &World, brokers: &[String], users: &[i64], expected: usize) -> Vec<Record> {
    until_relayed(world).await;
    records_of(brokers, users, expected).await
}

/// Waits until the outbox is empty.
async fn until_relayed(world: &World) {
    eventually("the outbox is empty", async || (world.number("SELECT count(*) FROM outbox").await == 0).then_some(()))
        .await;
}

/// The statuses of an order, as published.
pub fn statuses(records: &[Record], order: i64) -> Vec<String> {
    records.iter().filter(|record| record.order() == order).map(Record::status).collect()
}

/// Reads some partitions of the topic as their records come.
pub struct Reader(StreamConsumer);

impl Reader {
    pub fn of(brokers: &[String], partitions: Range<i32>) -> Self {
        let consumer: StreamConsumer = client("test", brokers).set("group.id", "test").create().unwrap();
        let mut assignment = TopicPartitionList::new();
        for partition in partitions {
            assignment.add_partition_offset(ORDERS.name, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&assignment).unwrap();
        Self(consumer)
    }

    /// Reads on until an order has a status.
    pub async fn until_read(&self, order: i64, status: &str) {
        let read = async {
            loop {
                let message = self.0.recv().await.unwrap();
                let value: Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
                if value["OrderID"] == order && value["Status"] == status {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("the record comes");
    }
}

fn read_all(brokers: &[String]) -> Vec<Record> {
    let consumer: BaseConsumer<Quiet> = client("test", brokers)
        .set("group.id", "test")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "50")
        .create_with_context(Quiet::default())
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(ORDERS.name), PATIENCE).unwrap();
    let partitions: Vec<i32> = metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect();
    let mut assignment = TopicPartitionList::new();
    for &partition in &partitions {
        assignment.add_partition_offset(ORDERS.name, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut unread: BTreeSet<i32> = partitions.into_iter().collect();
    let mut records = Vec::new();
    while !unread.is_empty() {
        let message = match consumer.poll(PATIENCE).expect("the topic is read in time") {
            Ok(message) => message,
            Err(rdkafka::error::KafkaError::PartitionEOF(partition)) => {
                unread.remove(&partition);
                continue;
            }
            Err(error) => panic!("cannot read the topic: {error}"),
        };
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        records.push(Record {
            partition: message.partition(),
            key: String::from_utf8(message.key().unwrap().to_vec()).unwrap(),
            value: serde_json::from_slice(message.payload().unwrap()).unwrap(),
            headers: headers
                .map(|header| (header.key.to_owned(), String::from_utf8(header.value.unwrap().to_vec()).unwrap()))
                .collect(),
        });
    }
    records
}
