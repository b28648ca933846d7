//! The trace of a request. It travels in headers of HTTP and Kafka, and in rows of the database.

use std::collections::HashMap;

use http::{HeaderMap, HeaderValue};
use opentelemetry::{Context, Value, propagation::TextMapPropagator as _, trace::TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The header of <https://www.w3.org/TR/trace-context/>.
pub const TRACEPARENT: &str = "traceparent";

/// Makes a span the child of the span in `traceparent`. Without a valid `traceparent`, the span begins a trace.
pub fn set_parent(span: &Span, traceparent: Option<&str>) {
    if let Some(parent) = traceparent.and_then(parse)
        && let Err(error) = span.set_parent(parent)
    {
        tracing::debug!(%error, "a span could not be given its parent");
    }
}

/// Adds a link to the span in `traceparent`, which caused this span in another trace.
pub fn link(span: &Span, traceparent: Option<&str>) {
    if let Some(cause) = traceparent.and_then(parse) {
        link_to(span, &cause);
    }
}

/// Adds a link to the current span, such as a step that does this work.
pub fn link_to_current(span: &Span) {
    link_to_span(span, &Span::current());
}

/// Adds a link to a span, such as a batch that does this work.
pub fn link_to_span(span: &Span, linked: &Span) {
    link_to(span, &linked.context());
}

/// Whether the trace of a span is kept.
pub fn is_sampled(span: &Span) -> bool {
    span.context().span().span_context().is_sampled()
}

fn link_to(span: &Span, context: &Context) {
    let linked = context.span().span_context().clone();
    // A span that is not sampled is not exported, so a link to it would lead nowhere.
    if linked.is_sampled() {
        span.add_link(linked);
    }
}

/// Sets an attribute that is not in log lines, because it is no field of the span.
pub fn set(span: &Span, name: &'static str, value: impl Into<Value>) {
    span.set_attribute(name, value.into());
}

/// `error` is one of few kinds of errors. The span must declare the fields `otel.status_code` and `error.type`.
pub fn fail(span: &Span, error: &str) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", error);
}

fn parse(traceparent: &str) -> Option<Context> {
    let headers = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    context.span().span_context().is_valid().then_some(context)
}

pub(crate) fn traceparent_from_headers(headers: &HeaderMap) -> Option<&str> {
    headers.get(TRACEPARENT)?.to_str().ok()
}

/// The `traceparent` for calls from this span; `None` if the span is disabled.
pub fn traceparent(span: &Span) -> Option<String> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut headers);
    headers.remove(TRACEPARENT)
}

/// The trace id in 32 hexadecimal digits; `None` if the span is disabled.
pub fn trace_id(span: &Span) -> Option<String> {
    let context = span.context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| span.trace_id().to_string())
}

pub(crate) fn inject(span: &Span, headers: &mut HeaderMap) {
    if let Some(value) = traceparent(span).and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert(TRACEPARENT, value);
    }
}
