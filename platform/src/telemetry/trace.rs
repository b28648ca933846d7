//! The trace that a request belongs to, and how it travels: in headers of HTTP and Kafka, and in outbox rows.

use http::{HeaderMap, HeaderValue};
use opentelemetry::{
    Context, Value,
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::TraceContextExt as _,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The header of <https://www.w3.org/TR/trace-context/>.
pub const TRACEPARENT: &str = "traceparent";

/// Makes a span the child of the span that `traceparent` names; without it, or if it is malformed, the span begins a
/// trace of its own.
pub fn set_parent(span: &Span, traceparent: Option<&str>) {
    if let Some(parent) = traceparent.and_then(read)
        && let Err(error) = span.set_parent(parent)
    {
        tracing::debug!(%error, "a span could not be given its parent");
    }
}

/// Links a span to the one that `traceparent` names: it caused this one, in a trace of its own.
pub fn link(span: &Span, traceparent: Option<&str>) {
    if let Some(cause) = traceparent.and_then(read) {
        link_to(span, &cause);
    }
}

/// Links a span to the step of background work that it is part of.
pub fn link_to_current(span: &Span) {
    link_to(span, &Span::current().context());
}

/// A link to a span that is not kept would lead nowhere.
fn link_to(span: &Span, context: &Context) {
    let linked = context.span().span_context().clone();
    if linked.is_sampled() {
        span.add_link(linked);
    }
}

/// Gives a span an attribute that is no field of it, and so is in no log line.
pub fn set(span: &Span, name: &'static str, value: impl Into<Value>) {
    span.set_attribute(name, value.into());
}

/// Marks a span as failed; `error` names the kind of failure, of which there are few. The span has the fields
/// `otel.status_code` and `error.type`.
pub fn fail(span: &Span, error: &str) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", error);
}

fn read(traceparent: &str) -> Option<Context> {
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &One(traceparent));
    context.span().span_context().is_valid().then_some(context)
}

/// The `traceparent` of a request.
pub fn of_headers(headers: &HeaderMap) -> Option<&str> {
    headers.get(TRACEPARENT)?.to_str().ok()
}

/// The `traceparent` for what a span calls; `None` where the span is disabled.
pub fn traceparent(span: &Span) -> Option<String> {
    let mut slot = Slot(None);
    TraceContextPropagator::new().inject_context(&span.context(), &mut slot);
    slot.0
}

/// The trace id of a span in 32 hexadecimal digits; `None` where the span is disabled.
pub fn trace_id(span: &Span) -> Option<String> {
    let context = span.context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| span.trace_id().to_string())
}

/// Puts the `traceparent` of a span into the headers of what it calls.
pub fn inject(span: &Span, headers: &mut HeaderMap) {
    if let Some(value) = traceparent(span).and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert(TRACEPARENT, value);
    }
}

struct One<'a>(&'a str);

impl Extractor for One<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        key.eq_ignore_ascii_case(TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

struct Slot(Option<String>);

impl Injector for Slot {
    fn set(&mut self, key: &str, value: String) {
        if key.eq_ignore_ascii_case(TRACEPARENT) {
            self.0 = Some(value);
        }
    }
}
