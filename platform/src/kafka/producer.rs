//! Writes records, each in its own span.

use rdkafka::{
    ClientConfig,
    error::KafkaError,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use tracing::{Instrument as _, Span};

use super::{KAFKA, Quiet};
use crate::{failure::Failure, telemetry::trace};

/// Dropping a producer blocks until its thread has ended.
pub type Producer = FutureProducer<Quiet>;

/// A producer whose records all in-sync replicas acknowledge. `settings` are additional settings of librdkafka.
pub fn producer(client: &ClientConfig, settings: &[(&str, &str)]) -> Result<Producer, KafkaError> {
    let mut config = client.clone();
    config.set("acks", "all");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config.create_with_context(Quiet)
}

/// Writes a record in its [span](super::send_span). After success, the broker has acknowledged it. The wait is limited
/// by the producer's setting `message.timeout.ms`.
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

/// Adds a header. An earlier header of the same name stays; readers must take the last one.
pub fn with_header(headers: OwnedHeaders, key: &str, value: &str) -> OwnedHeaders {
    headers.insert(Header { key, value: Some(value) })
}

/// The value of `error.type` in traces.
fn kind(error: &KafkaError) -> String {
    error.rdkafka_error_code().map_or_else(|| "unknown".to_owned(), |code| format!("{code:?}"))
}
