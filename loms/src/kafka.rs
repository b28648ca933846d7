//! Publishes events to the topic `orders`: acknowledged by all in-sync replicas, without duplicates of its own.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures::future::join_all;
use platform::{
    failure::Failure,
    kafka::{Cluster, Producer, send_span, topics, with_header},
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

/// How long the broker may take to acknowledge an event. The relay's transaction lasts at most twice as long.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);
const SETTINGS: [(&str, &str); 4] = [
    ("enable.idempotence", "true"),
    ("partitioner", "fnv1a_random"),
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
    /// Whether it is known that the topic for what cannot be read is not seen, and not created.
    lacks_dead_letters: bool,
}

impl Publisher {
    /// Connects when it is needed.
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster, producer: None, lacks_dead_letters: false }
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
        Ok(())
    }

    /// Publishes events: those of different orders at the same time, those of one order one after the other, as the first
    /// might fail and the second not. Answers for each event whether it is acknowledged; `None` if it was not tried,
    /// because one before it was not acknowledged, or not in time. Fails without [`prepare`](Self::prepare).
    pub async fn publish(&mut self, events: &[Unsent]) -> Result<Vec<Option<Result<(), Failure>>>, Failure> {
        let producer = self.producer.take().ok_or_else(|| Failure::unforeseen("the publisher is not prepared"))?;
        let mut by_order: HashMap<OrderId, Vec<usize>> = HashMap::new();
        for (place, unsent) in events.iter().enumerate() {
            by_order.entry(unsent.event.order).or_default().push(place);
        }
        let began_at = Instant::now();
        let orders = by_order.into_values().map(async |places| {
            let mut tried = Vec::with_capacity(places.len());
            for place in places {
                let result = publish_one(&producer, &events[place]).await;
                let goes_on = result.is_ok() && began_at.elapsed() < MESSAGE_TIMEOUT;
                tried.push((place, result));
                if !goes_on {
                    break;
                }
            }
            tried
        });
        let mut results = vec![None; events.len()];
        for (place, result) in join_all(orders).await.into_iter().flatten() {
            results[place] = Some(result);
        }
        if results.is_empty() || results.iter().flatten().any(Result::is_ok) {
            self.producer = Some(producer);
        } else {
            producer.close().await?;
        }
        Ok(results)
    }
}

fn new_topic(topic: Topic) -> NewTopic<'static> {
    let new = NewTopic::new(topic.name, topic.partitions, REPLICATION);
    match topic.max_message_bytes {
        Some(bytes) => new.set("max.message.bytes", bytes),
        None => new,
    }
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
    producer.send(record, &span).await
}
