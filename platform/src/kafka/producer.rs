//! Writes records, each in a span of its own.

use rdkafka::{
    ClientConfig,
    error::KafkaError,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use tracing::{Instrument as _, Span};

use super::{KAFKA, Quiet};
use crate::{failure::Failure, telemetry::trace};

/// What records are written through. Dropping it waits for its thread to end.
pub type Producer = FutureProducer<Quiet>;

/// A producer whose records all in-sync replicas acknowledge, with more settings of librdkafka's.
pub fn producer(client: &ClientConfig, settings: &[(&str, &str)]) -> Result<Producer, KafkaError> {
    let mut config = client.clone();
    config.set("acks", "all");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config.create_with_context(Quiet)
}

/// Writes a record in its [span](super::send_span); when this returns without an error, the broker has
/// acknowledged it. What waits for a broker is bounded by the producer's `message.timeout.ms`.
pub async fn send(producer: &Producer, record: FutureRecord<'_, [u8], [u8]>, span: &Span) -> Result<(), Failure> {
    let sent = async {
        match producer.send_result(record) {
            Ok(delivery) => delivery.await.map_err(Failure::unforeseen),
            Err((error, _)) => Err(Failure::unavailable(KAFKA, error)),
        }
    };
    match sent.instrument(span.clone()).await.inspect_err(|failure| trace::fail(span, failure.kind()))? {
        Ok(delivery) => {
            span.record("messaging.destination.partition.id", delivery.partition.to_string());
            span.record("messaging.kafka.offset", delivery.offset);
            Ok(())
        }
        Err((error, _)) => {
            trace::fail(span, &kind(&error));
            Err(Failure::unavailable(KAFKA, error))
        }
    }
}

/// Adds a header. One of the same name that is there already stays; readers take the last.
pub fn with_header(headers: OwnedHeaders, key: &str, value: &str) -> OwnedHeaders {
    headers.insert(Header { key, value: Some(value) })
}

/// The name that librdkafka has for an error, for traces.
fn kind(error: &KafkaError) -> String {
    error.rdkafka_error_code().map_or_else(|| "unknown".to_owned(), |code| format!("{code:?}"))
}
