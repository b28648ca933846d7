//! A fleet whose spans are received by a collector, and callers who bring a trace of their own.

use std::{
    fs,
    net::SocketAddr,
    ops::Deref,
    path::Path,
    time::{Duration, Instant},
};

use e2e::World;
use stack::testing::eventually;
use stack::{
    collector::{Collector, Span},
    fleet::{Addresses, Replica, Service, Settings},
    ports,
};
use tonic::{Request, Response};
use uuid::Uuid;

/// How long spans may be on their way. They are sent in batches, about once a second.
const ON_THEIR_WAY: Duration = Duration::from_secs(20);

/// The fleet, and what it tells the collector.
pub struct Observed {
    world: World,
    /// Receives the spans of all services.
    pub collector: Collector,
}

impl Observed {
    /// Starts both.
    pub async fn start() -> anyhow::Result<Self> {
        let collector = Collector::start(ports::loopback(0))?;
        let otlp = Some(collector.url());
        let world = World::start_with(|settings| Settings { otlp, ..settings }).await?;
        Ok(Self { world, collector })
    }

    /// Stops the fleet in good order.
    pub async fn stop(self) {
        self.world.stop().await;
    }

    /// The spans of a trace, when there are so many; fewer, if no more come.
    pub async fn spans(&self, trace_id: &str, count: usize) -> Vec<Span> {
        spans(&self.collector, trace_id, count).await
    }
}

impl Deref for Observed {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

/// The spans of a trace that a collector has, when they are so many; fewer, if no more come.
pub async fn spans(collector: &Collector, trace_id: &str, count: usize) -> Vec<Span> {
    let asked = Instant::now();
    eventually("spans arrive, or will not", || async {
        let spans = collector.trace(trace_id);
        (spans.len() >= count || asked.elapsed() > ON_THEIR_WAY).then_some(spans)
    })
    .await
}

/// A caller's own span, which no collector of ours receives.
pub struct Caller {
    /// Its trace.
    pub trace_id: String,
    /// Its span.
    pub span_id: String,
}

impl Caller {
    /// In a new trace.
    pub fn new() -> Self {
        let id = Uuid::new_v4().simple().to_string();
        Self { span_id: id[..16].to_owned(), trace_id: id }
    }

    /// A call in this trace, which is recorded if it is sampled.
    pub fn call<T>(&self, message: T, is_sampled: bool) -> Request<T> {
        let mut request = Request::new(message);
        let traceparent = format!("00-{}-{}-0{}", self.trace_id, self.span_id, u8::from(is_sampled));
        request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
        request
    }
}

/// The trace that an answer names.
pub fn trace_id<T>(answer: &Response<T>) -> String {
    answer.metadata().get("x-trace-id").unwrap().to_str().unwrap().to_owned()
}

/// The sum of a metric's series that have all of these labels, `name="value"`; none if it has none.
pub async fn metric(admin: SocketAddr, name: &str, labels: &[&str]) -> Option<f64> {
    let text = reqwest::get(format!("http://{admin}/metrics")).await.unwrap().text().await.unwrap();
    let series = text.lines().filter(|line| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']));
        rest.is_some_and(|rest| labels.iter().all(|label| rest.contains(label)))
    });
    let values = series.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap());
    values.reduce(|sum, value| sum + value)
}

/// A replica of a service, when it is ready; each change is a section, a key and its value.
pub async fn replica(service: Service, fleet: &Addresses, changes: &[(&str, &str, &str)]) -> Replica {
    let replica = Replica::start(service, fleet, changes).unwrap();
    eventually("the replica is ready", || async { replica.is_ready().await.then_some(()) }).await;
    replica
}

/// The lines of a log that contain all of these texts.
pub fn lines(log: &Path, texts: &[&str]) -> Vec<String> {
    let log = fs::read_to_string(log).unwrap();
    log.lines().filter(|line| texts.iter().all(|text| line.contains(text))).map(str::to_owned).collect()
}
