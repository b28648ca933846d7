//! Publishes events to the topic `orders`: acknowledged by all in-sync replicas, without duplicates of its own.

use futures::future::join_all;
use platform::{
    failure::Failure,
    kafka::{self, ORDERS, Quiet},
    telemetry::trace,
};
use rdkafka::{
    ClientConfig,
    error::KafkaError,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord, future_producer::Delivery},
};
use tracing::{Instrument as _, Span, field::Empty, info_span};

use super::{event, topics};
use crate::store::outbox::Unsent;

/// How long the broker may take to acknowledge an event; the relay's transaction lasts as long.
const DELIVERY_TIMEOUT_MS: &str = "5000";
/// How long the client collects events before it sends them; all of a wave are there at once.
const LINGER_MS: &str = "1";

/// Publishes through a producer that lasts until nothing of what it publishes is taken.
///
/// A broker that failed may be another one when it is back, which knows neither the topics nor the producer, and to which
/// a producer would speak in vain for long. So each producer begins with topics that exist.
pub struct Publisher {
    client: ClientConfig,
    producer: Option<FutureProducer<Quiet>>,
}

impl Publisher {
    /// A publisher for the brokers; connects when it is needed.
    pub fn new(brokers: &[String]) -> Self {
        Self { client: kafka::client("loms", brokers), producer: None }
    }

    /// Makes sure that the topics exist and there is a producer: at first, and when the last one
    /// failed.
    pub async fn prepare(&mut self) -> Result<(), Failure> {
        if self.producer.is_none() {
            topics::create_missing(&self.client).await?;
            self.producer = Some(producer(&self.client).map_err(Failure::unforeseen)?);
        }
        Ok(())
    }

    /// Publishes events, all at the same time; answers for each whether it is acknowledged. Fails without
    /// [`prepare`](Self::prepare).
    ///
    /// Two events of one order must not be published together, as the first might fail and the second not.
    pub async fn publish(&mut self, events: &[Unsent]) -> Result<Vec<Result<(), Failure>>, Failure> {
        let producer = self.producer.take().ok_or_else(|| Failure::unforeseen("the publisher is not prepared"))?;
        let results = join_all(events.iter().map(|event| publish_one(&producer, event))).await;
        if results.is_empty() || results.iter().any(Result::is_ok) {
            self.producer = Some(producer);
        } else {
            // Waits for the producer's thread to end.
            tokio::task::spawn_blocking(move || drop(producer)).await.map_err(Failure::unforeseen)?;
        }
        Ok(results)
    }
}

fn producer(client: &ClientConfig) -> Result<FutureProducer<Quiet>, KafkaError> {
    client
        .clone()
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("partitioner", "fnv1a_random")
        .set("message.timeout.ms", DELIVERY_TIMEOUT_MS)
        .set("linger.ms", LINGER_MS)
        .create_with_context(Quiet)
}

/// Publishes one event, in the trace of the change that it tells of.
async fn publish_one(producer: &FutureProducer<Quiet>, event: &Unsent) -> Result<(), Failure> {
    let key = event::key(event);
    let span = info_span!(
        parent: None,
        "send",
        otel.name = format!("send {ORDERS}"),
        otel.kind = "producer",
        otel.status_code = Empty,
        "error.type" = Empty,
        messaging.system = "kafka",
        messaging.operation.name = "send",
        "messaging.operation.type" = "send",
        messaging.destination.name = ORDERS,
        messaging.destination.partition.id = Empty,
        messaging.kafka.offset = Empty,
        messaging.kafka.message.key = key,
        messaging.message.id = %event.event_id,
        order.id = event.order.get(),
    );
    trace::set_parent(&span, event.traceparent.as_deref());
    trace::link_to_current(&span);
    let sent = send(producer, event, &key).instrument(span.clone()).await;
    match &sent {
        Ok(delivery) => {
            span.record("messaging.destination.partition.id", delivery.partition.to_string());
            span.record("messaging.kafka.offset", delivery.offset);
        }
        Err(failure) => trace::fail(&span, failure.kind()),
    }
    sent.map(|_| ())
}

async fn send(producer: &FutureProducer<Quiet>, event: &Unsent, key: &str) -> Result<Delivery, Failure> {
    let value = event::value(event).map_err(Failure::unforeseen)?;
    // Without tracing in this process, the context of the change is passed on as it is.
    let traceparent = trace::traceparent(&Span::current()).or_else(|| event.traceparent.clone());
    let mut headers = OwnedHeaders::new().insert(Header { key: "content-type", value: Some("application/json") });
    if let Some(traceparent) = &traceparent {
        headers = headers.insert(Header { key: trace::TRACEPARENT, value: Some(traceparent) });
    }
    let record = FutureRecord::to(ORDERS).key(key).payload(&value).headers(headers);
    let kafka = |error: KafkaError| Failure::unavailable("Kafka", error);
    let delivery = producer.send_result(record).map_err(|(error, _)| kafka(error))?;
    match delivery.await {
        Ok(Ok(delivery)) => Ok(delivery),
        Ok(Err((error, _))) => Err(kafka(error)),
        Err(cancelled) => Err(Failure::unforeseen(cancelled)),
    }
}
