//! Metrics of the process, in the default registry of the `prometheus` crate. What every service has is declared in the
//! modules below; `docs/metrics.md` lists all.

pub mod postgres;
pub(crate) mod rpc;
mod runtime;
pub(crate) mod telemetry;

use std::sync::LazyLock;

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    TextEncoder, core::Collector,
};

/// Bounds of latency histograms in seconds: they can show half a millisecond and ten seconds.
pub const LATENCY_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Steps of background work, by outcome.
pub(crate) static WORKER_STEPS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "worker_steps_total",
        "Steps of background work by outcome: worked, idle or failed.",
        &["worker", "outcome"],
    )
});

/// Shows at zero what every service has, and which build this is.
pub fn declare(service: &str) {
    runtime::declare(service);
    rpc::declare();
    postgres::declare(&[]);
    telemetry::declare();
}

/// A counter that is registered.
pub fn counter(name: &str, help: &str) -> IntCounter {
    registered(IntCounter::new(name, help))
}

/// Counters by label that are registered.
pub fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(IntCounterVec::new(Opts::new(name, help), labels))
}

/// A gauge that is registered.
pub fn gauge(name: &str, help: &str) -> IntGauge {
    registered(IntGauge::new(name, help))
}

/// Gauges by label that are registered.
pub fn gauges(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(IntGaugeVec::new(Opts::new(name, help), labels))
}

/// A histogram of latencies in seconds that is registered.
pub fn latency(name: &str, help: &str) -> Histogram {
    histogram(name, help, &LATENCY_BUCKETS)
}

/// Histograms of latencies in seconds, by label, that are registered.
pub fn latencies(name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    registered(HistogramVec::new(HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS.into()), labels))
}

/// A histogram with these bounds that is registered.
pub fn histogram(name: &str, help: &str, buckets: &[f64]) -> Histogram {
    registered(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.into())))
}

#[allow(clippy::expect_used, reason = "names are constants: a bad or doubled one shows in the first test")]
fn registered<C: Collector + Clone + 'static>(metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("a metric's name is valid");
    prometheus::register(Box::new(metric.clone())).expect("a metric is declared once");
    metric
}

/// Everything that is registered, in the text format of Prometheus.
pub fn render() -> Result<Vec<u8>, prometheus::Error> {
    runtime::measure();
    let mut text = Vec::new();
    TextEncoder::new().encode(&prometheus::gather(), &mut text)?;
    Ok(text)
}
