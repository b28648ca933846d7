//! Leaves out the traces of steps that found nothing to do, and to say: a background step looks for work about every
//! second, and its looking would bury what the fleet does.
//!
//! Whether a step had work is known at its end only, so the spans of its trace wait for that.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use opentelemetry::{
    Context, KeyValue, Value,
    trace::{Span as _, SpanId, Status, TraceContextExt as _, TraceId},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};

/// The attribute that only a step's span has: the name of its worker.
const WORKER: &str = "worker";
/// The attribute of a step's span that says how it ended; a step that panicked has none.
pub(crate) const OUTCOME: &str = "worker.outcome";
/// The value of [`OUTCOME`] for a step that found nothing to do.
pub(crate) const IDLE: &str = "idle";

/// Passes spans on, those of a step when it has ended.
#[derive(Debug)]
pub(super) struct Steps<P> {
    next: P,
    /// The steps that run, each with the spans of its trace that have ended.
    running: Mutex<HashMap<TraceId, Vec<SpanData>>>,
}

impl<P> Steps<P> {
    pub(super) fn new(next: P) -> Self {
        Self { next, running: Mutex::default() }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<TraceId, Vec<SpanData>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: SpanProcessor> SpanProcessor for Steps<P> {
    fn on_start(&self, span: &mut Span, parent: &Context) {
        let is_root = !parent.span().span_context().is_valid();
        if is_root && span.exported_data().is_some_and(|span| attribute(&span, WORKER).is_some()) {
            self.running().insert(span.span_context().trace_id(), Vec::new());
        }
        self.next.on_start(span, parent);
    }

    fn on_end(&self, span: SpanData) {
        let trace = span.span_context.trace_id();
        let mut running = self.running();
        let Some(waiting) = running.get_mut(&trace) else {
            drop(running);
            return self.next.on_end(span);
        };
        let is_step = span.parent_span_id == SpanId::INVALID;
        let is_idle = is_step && attribute(&span, OUTCOME).is_some_and(|outcome| outcome.as_str() == IDLE);
        waiting.push(span);
        if !is_step {
            return;
        }
        let spans = running.remove(&trace).unwrap_or_default();
        drop(running);
        if !is_idle || spans.iter().any(is_notable) {
            spans.into_iter().for_each(|span| self.next.on_end(span));
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        // Of steps that were cut off.
        let left = std::mem::take(&mut *self.running());
        left.into_values().flatten().for_each(|span| self.next.on_end(span));
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

/// Whether something failed in a span, or was worth a warning.
fn is_notable(span: &SpanData) -> bool {
    matches!(span.status, Status::Error { .. }) || !span.events.is_empty()
}

fn attribute<'a>(span: &'a SpanData, name: &str) -> Option<&'a Value> {
    span.attributes.iter().find(|KeyValue { key, .. }| key.as_str() == name).map(|attribute| &attribute.value)
}
