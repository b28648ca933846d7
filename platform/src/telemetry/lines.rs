//! The layer that makes a log line from every event.

use std::sync::OnceLock;

use tracing::{
    Dispatch, Event, Subscriber,
    dispatcher::WeakDispatch,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::{
    fields::{Fields, Line},
    levels::OwnCrates,
};

/// Passes every line to `write`. A line has no fields from the spans of libraries: we cannot keep their names stable.
pub(super) struct LineLayer<W> {
    service: &'static str,
    own_crates: OwnCrates,
    write: W,
    dispatch: OnceLock<WeakDispatch>,
}

impl<W: Fn(&Line)> LineLayer<W> {
    pub fn new(service: &'static str, write: W) -> Self {
        Self { service, own_crates: OwnCrates::new(service), write, dispatch: OnceLock::new() }
    }
}

impl<S, W> Layer<S> for LineLayer<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Fn(&Line) + 'static,
{
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        // A layer is part of one subscriber only, so this is set once.
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id).filter(|_| self.own_crates.contain(attributes.metadata())) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let dispatch = self.dispatch.get().and_then(WeakDispatch::upgrade);
        (self.write)(&Line::new(self.service, event, &context, dispatch.as_ref()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::{Arc, Mutex};

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use serde_json::{Value, json};
    use tracing::{debug_span, field::Empty, info, info_span, warn};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::{failure::Failure, telemetry::json::json as to_json};

    /// The lines of the events in `log`, as JSON.
    fn lines(log: impl FnOnce()) -> Vec<Value> {
        let written = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&written);
        let lines = LineLayer::new("test", move |line| {
            keep.lock().unwrap().push(serde_json::from_str(&to_json(line)).unwrap())
        });
        let spans = tracing_opentelemetry::layer().with_tracer(SdkTracerProvider::default().tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(spans).with(lines), log);
        written.lock().unwrap().split_off(0)
    }

    #[test]
    fn a_line_has_the_fields_of_its_event_and_of_the_spans_around_it_and_the_innermost_wins() {
        let lines = lines(|| {
            let _outer = info_span!("outer", a = 1, b = 1, c = 1, order.id = 7, otel.name = "hidden").entered();
            let inner = info_span!("inner", b = 2, c = 2, user.id = Empty, db.query.text = "SELECT 1").entered();
            inner.record("user.id", 5);
            let _libraries = debug_span!(target: "h2", "poll", peer = "server").entered();
            info!(c = 3, flag = true, share = 0.5, sku = %1212, "said");
        });
        let names: Vec<_> = lines[0].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names[..7], ["ts", "level", "message", "target", "trace_id", "span_id", "service"]);
        assert_eq!(names[7..], ["a", "b", "c", "order.id", "user.id", "flag", "share", "sku"]);
        let line = &lines[0];
        assert_eq!(
            json!([line["level"], line["message"], line["target"], line["service"]]),
            json!(["info", "said", module_path!(), "test"])
        );
        assert_eq!(
            json!([line["a"], line["b"], line["c"], line["flag"], line["share"], line["sku"], line["user.id"]]),
            json!([1, 2, 3, true, 0.5, "1212", 5])
        );
    }

    #[test]
    fn lines_of_one_trace_have_its_id_and_the_id_of_the_nearest_span() {
        let lines = lines(|| {
            info!("outside");
            let _outer = info_span!("outer").entered();
            info!("outer");
            let _inner = info_span!("inner").entered();
            info!("inner");
        });
        assert_eq!((&lines[0]["trace_id"], &lines[0]["span_id"]), (&Value::Null, &Value::Null));
        assert_eq!(lines[1]["trace_id"].as_str().unwrap().len(), 32);
        assert_eq!(lines[1]["trace_id"], lines[2]["trace_id"]);
        assert_ne!(lines[1]["span_id"], lines[2]["span_id"]);
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        let failure = Failure::unavailable("Postgres", "connection refused");
        let lines = lines(|| warn!(error = &failure as &dyn std::error::Error, "failed"));
        assert_eq!(lines[0]["error"], "Postgres is unavailable: connection refused");
    }

    #[test]
    fn an_event_without_a_message_says_where_it_comes_from() {
        assert_eq!(lines(|| info!(target: "library::part", rows = 3))[0]["message"], "library::part");
    }
}
