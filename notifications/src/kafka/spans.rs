//! How reading, processing and writing records shows in traces: <https://opentelemetry.io/docs/specs/semconv/messaging/kafka/>.

use std::str;

use platform::telemetry::trace;
use rdkafka::message::{Message as _, OwnedMessage};
use tracing::{Span, field::Empty, info_span};

/// A longer key is no order's, and is left out.
const MAX_KEY_BYTES: usize = 64;

/// The wait for records; their number is recorded in `messaging.batch.message_count`.
pub fn poll(topic: &str, group: &str) -> Span {
    info_span!(
        "poll",
        otel.name = format!("poll {topic}"),
        otel.kind = "client",
        messaging.system = "kafka",
        messaging.operation.name = "poll",
        "messaging.operation.type" = "receive",
        messaging.destination.name = topic,
        messaging.consumer.group.name = group,
        messaging.batch.message_count = Empty,
    )
}

/// What becomes of a record, in the trace in which it was sent; it is linked to the step that reads it, with others. What
/// the record says is recorded when it is read.
pub fn process(record: &OwnedMessage, group: &str, parent: Option<&str>) -> Span {
    let span = info_span!(
        parent: None,
        "process",
        otel.name = format!("process {}", record.topic()),
        otel.kind = "consumer",
        otel.status_code = Empty,
        "error.type" = Empty,
        messaging.system = "kafka",
        messaging.operation.name = "process",
        "messaging.operation.type" = "process",
        messaging.destination.name = record.topic(),
        messaging.destination.partition.id = record.partition().to_string(),
        messaging.consumer.group.name = group,
        messaging.kafka.offset = record.offset(),
        messaging.kafka.message.key = key(record),
        messaging.message.id = Empty,
        order.id = Empty,
        user.id = Empty,
    );
    trace::set_parent(&span, parent);
    trace::link_to_current(&span);
    span
}

/// The writing of a dead letter, as part of what becomes of its record; it is linked to the step that does it, which may
/// be a later one than that which read the record.
pub fn send(topic: &str, record: &OwnedMessage, process: &Span) -> Span {
    let span = info_span!(
        parent: process,
        "send",
        otel.name = format!("send {topic}"),
        otel.kind = "producer",
        otel.status_code = Empty,
        "error.type" = Empty,
        messaging.system = "kafka",
        messaging.operation.name = "send",
        "messaging.operation.type" = "send",
        messaging.destination.name = topic,
        messaging.destination.partition.id = Empty,
        messaging.kafka.offset = Empty,
        messaging.kafka.message.key = key(record),
    );
    trace::link_to_current(&span);
    span
}

fn key(record: &OwnedMessage) -> Option<&str> {
    record.key().filter(|key| key.len() <= MAX_KEY_BYTES).and_then(|key| str::from_utf8(key).ok())
}
