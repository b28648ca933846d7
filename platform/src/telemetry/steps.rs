//! Drops the traces of idle steps, unless they have an error or a warning. A background step looks for work about once
//! a second; so many traces would hide the others.
//!
//! Only the end of a step shows if it had work. Until then, the spans of its trace wait here.

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

/// An attribute that only the spans of steps have.
const WORKER: &str = "worker";
/// How a step ended. A step that panicked does not have this attribute.
pub(crate) const OUTCOME: &str = "worker.outcome";
/// The [`OUTCOME`] of a step without work.
pub(crate) const IDLE: &str = "idle";

#[derive(Debug)]
pub(super) struct IdleStepFilter<P> {
    next: P,
    /// The running steps by their traces, with the ended spans of each trace.
    running: Mutex<HashMap<TraceId, Vec<SpanData>>>,
}

impl<P> IdleStepFilter<P> {
    pub(super) fn new(next: P) -> Self {
        Self { next, running: Mutex::default() }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<TraceId, Vec<SpanData>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: SpanProcessor> SpanProcessor for IdleStepFilter<P> {
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
        // Steps that were cut off never end, but their spans are exported.
        let left = std::mem::take(&mut *self.running());
        left.into_values().flatten().for_each(|span| self.next.on_end(span));
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

/// Only errors and warnings are events of spans.
fn is_notable(span: &SpanData) -> bool {
    matches!(span.status, Status::Error { .. }) || !span.events.is_empty()
}

fn attribute<'a>(span: &'a SpanData, name: &str) -> Option<&'a Value> {
    span.attributes.iter().find(|KeyValue { key, .. }| key.as_str() == name).map(|attribute| &attribute.value)
}
