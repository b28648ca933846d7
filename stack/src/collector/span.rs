//! A received span, in a form that is easy to compare in tests.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value},
    trace::v1,
};
use serde_json::Value;

use super::{SpanKind, StatusCode};

/// A received span. Ids are in hexadecimal digits.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub trace_id: String,
    pub span_id: String,
    /// The id of the span that caused this one; none for the first span of a trace.
    pub parent: Option<String>,
    pub name: String,
    pub kind: SpanKind,
    pub status: StatusCode,
    pub status_message: String,
    /// In nanoseconds since 1970, as is `end`.
    pub start: u64,
    pub end: u64,
    pub attributes: BTreeMap<String, Value>,
    pub links: Vec<Link>,
    /// The number of events. Each event is a warning that was logged during the span.
    pub events: usize,
    /// Attributes of the sender, such as `service.name`.
    pub resource: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub trace_id: String,
    pub span_id: String,
}

impl Span {
    pub(super) fn new(span: v1::Span, resource: BTreeMap<String, Value>) -> Self {
        let (kind, status) = (span.kind(), span.status.unwrap_or_default());
        Self {
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent: Some(hex(&span.parent_span_id)).filter(|id| !id.is_empty()),
            name: span.name,
            kind,
            status: status.code(),
            status_message: status.message,
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            attributes: attributes(span.attributes),
            links: span
                .links
                .iter()
                .map(|link| Link { trace_id: hex(&link.trace_id), span_id: hex(&link.span_id) })
                .collect(),
            events: span.events.len(),
            resource,
        }
    }

    /// The name of the service that sent the span.
    pub fn service(&self) -> &str {
        self.resource.get("service.name").and_then(Value::as_str).unwrap_or_default()
    }

    /// Null if the span has no attribute of this name.
    pub fn attribute(&self, name: &str) -> &Value {
        self.attributes.get(name).unwrap_or(&Value::Null)
    }

    pub fn is_linked_to(&self, other: &Self) -> bool {
        self.links.iter().any(|link| link.trace_id == other.trace_id && link.span_id == other.span_id)
    }
}

pub(super) fn attributes(attributes: Vec<KeyValue>) -> BTreeMap<String, Value> {
    attributes.into_iter().map(|attribute| (attribute.key, value(attribute.value))).collect()
}

fn value(value: Option<AnyValue>) -> Value {
    use any_value::Value as Any;
    match value.and_then(|value| value.value) {
        // `StringValueStrindex` is for profiles only. In a span it means null.
        None | Some(Any::StringValueStrindex(_)) => Value::Null,
        Some(Any::StringValue(text)) => text.into(),
        Some(Any::BoolValue(flag)) => flag.into(),
        Some(Any::IntValue(number)) => number.into(),
        Some(Any::DoubleValue(number)) => number.into(),
        Some(Any::BytesValue(bytes)) => hex(&bytes).into(),
        Some(Any::ArrayValue(array)) => array.values.into_iter().map(|item| self::value(Some(item))).collect(),
        Some(Any::KvlistValue(list)) => attributes(list.values).into_iter().collect(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
