//! What a log line says: gathered once, from an event and the spans around it, for every form that lines are written
//! in.

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

/// A log line.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// When it was said.
    pub at: DateTime<Utc>,
    /// How much it matters.
    pub level: Level,
    /// What is said; never empty.
    pub message: String,
    /// `target`, `trace_id`, `span_id`, `service`, then the fields of the spans around the event from the outermost on,
    /// then its own. What comes later takes the place of what has the same name.
    pub fields: Map<String, Value>,
}

impl Line {
    /// Gathers what an event of this service says.
    pub fn new<S>(service: &str, event: &Event<'_>, context: &Context<'_, S>, dispatch: Option<&Dispatch>) -> Self
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let mut said = Fields::default();
        event.record(&mut said);
        let target = said.target.unwrap_or_else(|| event.metadata().target().to_owned());
        let message = said.message.filter(|message| !message.is_empty()).unwrap_or_else(|| target.clone());
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
            if let Some(around) = span.extensions().get::<Fields>() {
                fields.extend(around.values.clone());
            }
        }
        fields.extend(said.values);
        Self { at: Utc::now(), level: *event.metadata().level(), message, fields }
    }

    /// Where in the code it was said.
    pub fn target(&self) -> &str {
        self.fields.get("target").and_then(Value::as_str).unwrap_or_default()
    }
}

fn span_context(trace: &TraceContext) -> SpanContext {
    trace.span().span_context().clone()
}

/// The fields of an event or a span.
#[derive(Debug, Default)]
pub(super) struct Fields {
    message: Option<String>,
    /// Events of the `log` crate have their target among their fields.
    target: Option<String>,
    values: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
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

/// What steers the machinery, what only the end of a step shows, what is long and in the trace, and what a line has of
/// its own.
const HIDDEN: [&str; 8] = [OUTCOME, "db.query.text", "ts", "level", "target", "trace_id", "span_id", "service"];

pub(super) fn is_shown(name: &str) -> bool {
    !name.starts_with("otel.") && !name.starts_with("log.") && !HIDDEN.contains(&name)
}

fn text(value: Value) -> String {
    if let Value::String(text) = value { text } else { value.to_string() }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put(field, chain(value).into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}
