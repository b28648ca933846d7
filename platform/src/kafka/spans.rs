//! The spans of reading, processing and writing records, by the semantic conventions:
//! <https://opentelemetry.io/docs/specs/semconv/messaging/kafka/>.

use rdkafka::message::{Message as _, OwnedMessage};
use tracing::{Span, field::Empty, info_span};

use super::record;
use crate::telemetry::trace;

/// Covers the wait for records. The caller records `messaging.batch.message_count`.
pub(super) fn poll(topic: &str, group: &str) -> Span {
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

/// Belongs to the trace in which the record was sent, and has a link to the step that reads it.
pub(super) fn process(record: &OwnedMessage, group: &str, parent: Option<&str>) -> Span {
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
        messaging.kafka.message.key = record::key(record),
    );
    trace::set_parent(&span, parent);
    trace::link_to_current(&span);
    span
}

/// Has a link to the step that writes the record. The caller sets the parent.
pub fn send(topic: &str, key: Option<&str>) -> Span {
    let span = info_span!(
        parent: None,
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
        messaging.kafka.message.key = key,
    );
    trace::link_to_current(&span);
    span
}
