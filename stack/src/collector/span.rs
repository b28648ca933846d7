//! A span as it arrived, in a form that is easy to assert on.

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
    /// The trace it belongs to.
    pub trace_id: String,
    /// What names it in its trace.
    pub span_id: String,
    /// The span that caused it; none for the first of a trace.
    pub parent: Option<String>,
    /// Its name.
    pub name: String,
    /// Which side of what call it is.
    pub kind: SpanKind,
    /// What became of it.
    pub status: StatusCode,
    /// What went wrong, in words.
    pub status_message: String,
    /// When it began, in nanoseconds since 1970.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// Its attributes by name.
    pub attributes: BTreeMap<String, Value>,
    /// The spans it is linked to.
    pub links: Vec<Link>,
    /// How many events it has: warnings of what happened in it.
    pub events: usize,
    /// What sent it: attributes by name, `service.name` among them.
    pub resource: BTreeMap<String, Value>,
}

/// A link to another span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The other span's trace.
    pub trace_id: String,
    /// The other span.
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

    /// The service that sent it.
    pub fn service(&self) -> &str {
        self.resource.get("service.name").and_then(Value::as_str).unwrap_or_default()
    }

    /// An attribute; null where it has none of this name.
    pub fn attribute(&self, name: &str) -> &Value {
        self.attributes.get(name).unwrap_or(&Value::Null)
    }

    /// Whether it is linked to another span.
    pub fn is_linked_to(&self, other: &Self) -> bool {
        self.links.iter().any(|link| link.trace_id == other.trace_id && link.span_id == other.span_id)
    }
}

pub(super) fn attributes(attributes: Vec<KeyValue>) -> BTreeMap<String, Value> {
    attributes.into_iter().map(|one| (one.key, value(one.value))).collect()
}

fn value(value: Option<AnyValue>) -> Value {
    use any_value::Value as Any;
    match value.and_then(|value| value.value) {
        // The last is for profiles, and null to whoever receives something else.
        None | Some(Any::StringValueStrindex(_)) => Value::Null,
        Some(Any::StringValue(text)) => text.into(),
        Some(Any::BoolValue(flag)) => flag.into(),
        Some(Any::IntValue(number)) => number.into(),
        Some(Any::DoubleValue(number)) => number.into(),
        Some(Any::BytesValue(bytes)) => hex(&bytes).into(),
        Some(Any::ArrayValue(array)) => array.values.into_iter().map(|one| self::value(Some(one))).collect(),
        Some(Any::KvlistValue(list)) => attributes(list.values).into_iter().collect(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
