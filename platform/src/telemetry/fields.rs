//! The content of a log line, from an event and the spans around it. It is the same for all formats.

use std::{error::Error, fmt};

use chrono::{DateTime, Utc};
use opentelemetry::{
    Context as TraceContext,
    trace::{SpanContext, TraceContextExt as _},
};
use serde_json::{Map, Value};
use tracing::{
    Dispatch, Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_opentelemetry::get_otel_context;
use tracing_subscriber::{
    layer::Context,
    registry::{LookupSpan, Scope},
};

use super::steps::OUTCOME;
use crate::failure::chain;

#[derive(Debug, Clone)]
pub(super) struct Line {
    pub at: DateTime<Utc>,
    pub level: Level,
    /// Never empty.
    pub message: String,
    /// In this order: `target`, `trace_id`, `span_id`, `service`, the fields of the spans from the outermost to the
    /// innermost, the fields of the event. Of fields with the same name, the last one wins.
    pub fields: Map<String, Value>,
}

impl Line {
    pub fn new<S>(service: &str, event: &Event<'_>, context: &Context<'_, S>, dispatch: Option<&Dispatch>) -> Self
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let mut own = Fields::default();
        event.record(&mut own);
        let target = own.target.unwrap_or_else(|| event.metadata().target().to_owned());
        let message = own.message.filter(|message| !message.is_empty()).unwrap_or_else(|| target.clone());
        let mut fields = Map::new();
        fields.insert("target".into(), target.into());

        let spans: Vec<_> = context.event_scope(event).into_iter().flat_map(Scope::from_root).collect();
        let traces = spans.iter().rev().filter_map(|span| get_otel_context(&span.id(), dispatch?));
        if let Some(trace) = traces.map(|trace| span_context(&trace)).find(SpanContext::is_valid) {
            fields.insert("trace_id".into(), trace.trace_id().to_string().into());
            fields.insert("span_id".into(), trace.span_id().to_string().into());
        }
        fields.insert("service".into(), service.into());

        for span in &spans {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                fields.extend(of_span.values.clone());
            }
        }
        fields.extend(own.values);
        Self { at: Utc::now(), level: *event.metadata().level(), message, fields }
    }

    pub fn target(&self) -> &str {
        self.fields.get("target").and_then(Value::as_str).unwrap_or_default()
    }
}

fn span_context(trace: &TraceContext) -> SpanContext {
    trace.span().span_context().clone()
}

#[derive(Debug, Default)]
pub(super) struct Fields {
    message: Option<String>,
    /// Events of the crate `log` have their target in a field.
    target: Option<String>,
    values: Map<String, Value>,
}

impl Fields {
    fn insert(&mut self, field: &Field, value: Value) {
        match field.name() {
            "message" => self.message = Some(text(value)),
            "log.target" => self.target = Some(text(value)),
            name if is_shown(name) => {
                self.values.insert(name.to_owned(), value);
            }
            _hidden => {}
        }
    }
}

/// Fields for traces only, and names that a line sets itself.
const HIDDEN: [&str; 8] = [OUTCOME, "db.query.text", "ts", "level", "target", "trace_id", "span_id", "service"];

pub(super) fn is_shown(name: &str) -> bool {
    !name.starts_with("otel.") && !name.starts_with("log.") && !HIDDEN.contains(&name)
}

fn text(value: Value) -> String {
    if let Value::String(text) = value { text } else { value.to_string() }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.insert(field, chain(value).into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}").into());
    }
}
