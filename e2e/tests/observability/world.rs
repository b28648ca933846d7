//! A fleet with a collector that receives its spans, and callers with a trace of their own.

use std::{
    ops::Deref,
    time::{Duration, Instant},
};

use e2e::World;
use stack::testing::eventually;
use stack::{
    collector::{Collector, Span},
    fleet::Settings,
    ports,
};
use tonic::{Request, Response};
use uuid::Uuid;

/// Spans arrive earlier: services send them in batches, about once a second.
const SPANS_TIMEOUT: Duration = Duration::from_secs(20);

pub struct TracedWorld {
    world: World,
    /// Receives the spans of all services.
    pub collector: Collector,
}

impl TracedWorld {
    pub async fn start() -> anyhow::Result<Self> {
        let collector = Collector::start(ports::loopback(0))?;
        let otlp = Some(collector.url());
        let world = World::start_with(|settings| Settings { otlp, ..settings }).await?;
        Ok(Self { world, collector })
    }

    pub async fn stop(self) {
        self.world.stop().await;
    }

    /// Waits until a trace has `count` spans, and returns them. If they do not arrive in time, it returns fewer.
    ///
    /// A batch that a call shares with one of another trace is there only. It is returned as if the call had it alone.
    pub async fn spans(&self, trace_id: &str, count: usize) -> Vec<Span> {
        let begin = Instant::now();
        eventually("spans arrive, or will not", || async {
            let mut spans = self.collector.trace(trace_id);
            let shared: Vec<Span> = spans.iter().flat_map(|span| self.shared_batch(span)).collect();
            spans.extend(shared);
            spans.sort_by_key(|span| span.start);
            (spans.len() >= count || begin.elapsed() > SPANS_TIMEOUT).then_some(spans)
        })
        .await
    }

    /// The spans of a batch that a call is linked to, below the call.
    fn shared_batch(&self, call: &Span) -> Vec<Span> {
        let Some(link) = call.links.first() else { return Vec::new() };
        let trace = self.collector.trace(&link.trace_id);
        let is_batch = |span: &&Span| span.span_id == link.span_id && span.name.starts_with("batch ");
        let Some(batch) = trace.iter().find(is_batch) else { return Vec::new() };
        let below = |parent: &Span| -> Vec<Span> {
            trace.iter().filter(|span| span.parent.as_ref() == Some(&parent.span_id)).cloned().collect()
        };
        let transactions = below(batch);
        let statements: Vec<Span> = transactions.iter().flat_map(below).collect();
        let batch = Span { parent: Some(call.span_id.clone()), ..batch.clone() };
        [vec![batch], transactions, statements].concat()
    }
}

impl Deref for TracedWorld {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

/// A caller with a span of its own, which the collector does not receive.
pub struct Caller {
    pub trace_id: String,
    pub span_id: String,
}

impl Caller {
    /// Begins a new trace.
    pub fn new() -> Self {
        let id = Uuid::new_v4().simple().to_string();
        Self { span_id: id[..16].to_owned(), trace_id: id }
    }

    /// A request in the caller's trace. The services export the trace only if it is sampled.
    pub fn call<T>(&self, message: T, is_sampled: bool) -> Request<T> {
        let mut request = Request::new(message);
        let traceparent = format!("00-{}-{}-0{}", self.trace_id, self.span_id, u8::from(is_sampled));
        request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
        request
    }
}

/// The trace id in the header of an answer.
pub fn trace_id<T>(answer: &Response<T>) -> String {
    answer.metadata().get("x-trace-id").unwrap().to_str().unwrap().to_owned()
}
