//! Publishes events to the topic `orders`: acknowledged by all in-sync replicas, without duplicates of its own.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use platform::{
    failure::Failure,
    kafka::{Cluster, PARTITIONER, Producer, send_span, topics, with_header},
    telemetry::trace,
};
use proto::{
    event::{ORDERS, ORDERS_DLQ, Topic},
    ids::OrderId,
};
use rdkafka::{
    admin::{NewTopic, TopicReplication},
    message::OwnedHeaders,
    producer::FutureRecord,
};
use tracing::warn;

use crate::domain::unsent::Unsent;

/// How long the broker may take to acknowledge an event. The relay's transaction lasts little more than twice as long.
pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);
const SETTINGS: [(&str, &str); 4] = [
    ("enable.idempotence", "true"),
    PARTITIONER,
    ("message.timeout.ms", "5000"),
    // All events of a wave are there at once: waiting for more is of no use.
    ("linger.ms", "1"),
];

/// As many replicas as the broker's own configuration says.
const REPLICATION: TopicReplication<'static> = TopicReplication::Fixed(-1);

/// Publishes through a producer that lasts until nothing of what it publishes is taken.
///
/// A broker that failed may be another one when it is back, which knows neither the topics nor the producer, and to which
/// a producer would speak in vain for long. So each producer begins with topics that exist.
pub struct Publisher {
    cluster: Cluster,
    producer: Option<Producer>,
    /// How many the topic had when the producer began.
    partitions: usize,
    /// Whether it is known that the topic for what cannot be read is not seen, and not created.
    lacks_dead_letters: bool,
}

impl Publisher {
    /// Connects when it is needed, but fails at once if no producer could begin, such as with properties that do not go
    /// together.
    pub fn new(cluster: Cluster) -> anyhow::Result<Self> {
        drop(Producer::new(&cluster, &SETTINGS).context("kafka")?);
        Ok(Self { cluster, producer: None, partitions: 0, lacks_dead_letters: false })
    }

    /// Makes sure that the topic exists and there is a producer: at first, and when the last one failed.
    pub async fn prepare(&mut self) -> Result<(), Failure> {
        if self.producer.is_none() {
            let producer = Producer::new(&self.cluster, &SETTINGS).map_err(Failure::unforeseen)?;
            if let Err(failure) = self.create_missing(&producer).await {
                producer.close().await?;
                return Err(failure);
            }
            self.producer = Some(producer);
        }
        Ok(())
    }

    /// Creates only what is not there: to create topics is often not allowed.
    async fn create_missing(&mut self, producer: &Producer) -> Result<(), Failure> {
        let seen = producer.topics().await?;
        let missing: Vec<_> = [ORDERS, ORDERS_DLQ].into_iter().filter(|topic| !seen.contains_key(topic.name)).collect();
        let refused = match missing[..] {
            [] => Vec::new(),
            _ => topics::create(&self.cluster, &missing.into_iter().map(new_topic).collect::<Vec<_>>()).await?,
        };
        if let Some((topic, error)) = refused.iter().find(|(topic, _)| topic == ORDERS.name) {
            return Err(Failure::unavailable(
                "Kafka",
                format!("the topic {topic} is missing and cannot be created: {error}"),
            ));
        }
        // It may exist and be nothing that this user may see. Others write to it.
        match refused.first() {
            Some((topic, error)) if !self.lacks_dead_letters => {
                warn!(messaging.destination.name = topic, %error, "the topic is not seen and cannot be created");
            }
            Some(_) | None => {}
        }
        self.lacks_dead_letters = !refused.is_empty();
        self.partitions = match seen.get(ORDERS.name) {
            Some(partitions) => *partitions,
            None => usize::try_from(ORDERS.partitions).map_err(Failure::unforeseen)?,
        };
        Ok(())
    }

    /// Publishes events of one order, one after the other, as the first might fail and the second not. None is tried behind
    /// one that was not acknowledged, or not in time. Fails without [`prepare`](Self::prepare).
    pub fn publish(&self, events: Vec<Unsent>) -> Result<impl Future<Output = Vec<Tried>> + Send + use<>, Failure> {
        let producer = self.producer.clone().ok_or_else(|| Failure::unforeseen("the publisher is not prepared"))?;
        Ok(async move {
            let (began_at, mut tried) = (Instant::now(), Vec::with_capacity(events.len()));
            for unsent in events {
                let result = publish_one(&producer, &unsent).await;
                let goes_on = result.is_ok() && began_at.elapsed() < MESSAGE_TIMEOUT;
                tried.push(Tried { unsent, result });
                if !goes_on {
                    break;
                }
            }
            tried
        })
    }

    /// The partition that an order's events go to, unless there are more partitions by now.
    pub fn partition(&self, order: OrderId) -> usize {
        // As `fnv1a_random` chooses for the key.
        let fnv1a = |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let hash = order.to_string().bytes().fold(0x811c_9dc5, fnv1a).cast_signed();
        let partitions = i32::try_from(self.partitions).unwrap_or(i32::MAX).max(1);
        (hash % partitions).unsigned_abs() as usize
    }

    /// To be called when nothing is taken any more, and nothing is on its way.
    pub async fn begin_anew(&mut self) -> Result<(), Failure> {
        match self.producer.take() {
            Some(producer) => producer.close().await,
            None => Ok(()),
        }
    }
}

/// What became of an event.
pub struct Tried {
    pub unsent: Unsent,
    pub result: Result<(), Failure>,
}

fn new_topic(topic: Topic) -> NewTopic<'static> {
    let new = NewTopic::new(topic.name, topic.partitions, REPLICATION);
    topic.settings.iter().fold(new, |new, (name, value)| new.set(name, value))
}

/// Publishes one event, in the trace of the change that it tells of.
async fn publish_one(producer: &Producer, unsent: &Unsent) -> Result<(), Failure> {
    let Unsent { event, traceparent, .. } = unsent;
    let (key, value) = (event.key(), event.write().map_err(Failure::unforeseen)?);
    let span = send_span(ORDERS.name, Some(&key));
    trace::set_parent(&span, traceparent.as_deref());
    trace::set(&span, "messaging.message.id", event.id.clone());
    trace::set(&span, "order.id", event.order.get());
    let mut headers = with_header(OwnedHeaders::new(), "content-type", "application/json");
    // Without tracing in this process, the context of the change is passed on as it is.
    if let Some(traceparent) = trace::traceparent(&span).as_ref().or(traceparent.as_ref()) {
        headers = with_header(headers, trace::TRACEPARENT, traceparent);
    }
    let record = FutureRecord::to(ORDERS.name).key(key.as_bytes()).payload(value.as_slice()).headers(headers);
    producer.send(record, &span).await.map(drop)
}
