//! Metrics of the process, in the default registry of the `prometheus` crate, and those that every service has.

use std::sync::LazyLock;

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, TextEncoder,
    core::Collector,
};

/// Bounds of latency histograms in seconds: they can show half a millisecond and ten seconds.
pub const LATENCY_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Names and labels are those that go-grpc-prometheus made usual.
const RPC_LABELS: [&str; 3] = ["grpc_type", "grpc_service", "grpc_method"];
const RPC_CODE_LABELS: [&str; 4] = ["grpc_type", "grpc_service", "grpc_method", "grpc_code"];

/// Calls that began on the server.
pub static SERVER_STARTED: LazyLock<IntCounterVec> =
    LazyLock::new(|| counters("grpc_server_started_total", "RPCs started on the server.", &RPC_LABELS));
/// Calls that the server answered, by code.
pub static SERVER_HANDLED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "grpc_server_handled_total",
        "RPCs completed on the server, regardless of success or failure.",
        &RPC_CODE_LABELS,
    )
});
/// How long the server took.
pub static SERVER_HANDLING_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    latencies(
        "grpc_server_handling_seconds",
        "Time from the start of an RPC to its answer by the server, in seconds.",
        &RPC_LABELS,
    )
});
/// Calls that began on the client.
pub static CLIENT_STARTED: LazyLock<IntCounterVec> =
    LazyLock::new(|| counters("grpc_client_started_total", "RPCs started by the client.", &RPC_LABELS));
/// Calls that the client saw end, by code.
pub static CLIENT_HANDLED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "grpc_client_handled_total",
        "RPCs completed by the client, regardless of success or failure.",
        &RPC_CODE_LABELS,
    )
});
/// How long the client waited.
pub static CLIENT_HANDLING_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    latencies(
        "grpc_client_handling_seconds",
        "Time from the start of an RPC to its answer as the client saw it, in seconds.",
        &RPC_LABELS,
    )
});
/// Transactions by name, from begin to commit or rollback.
pub static TRANSACTION_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    latencies(
        "postgres_transaction_seconds",
        "Time from the begin of a transaction to its end, in seconds.",
        &["transaction"],
    )
});
/// Transactions that ran again after a serialization failure or deadlock.
pub static TRANSACTION_RETRIES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "postgres_transaction_retries_total",
        "Transactions run again after a serialization failure or a deadlock.",
        &["transaction"],
    )
});
/// Steps of background work, by outcome.
pub static WORKER_STEPS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "worker_steps_total",
        "Steps of background work by outcome: worked, idle or failed.",
        &["worker", "outcome"],
    )
});

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

/// A histogram of latencies in seconds that is registered.
pub fn latency(name: &str, help: &str) -> Histogram {
    registered(Histogram::with_opts(HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS.into())))
}

/// Histograms of latencies in seconds, by label, that are registered.
pub fn latencies(name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    registered(HistogramVec::new(HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS.into()), labels))
}

#[allow(clippy::expect_used, reason = "names are constants: a bad or doubled one shows in the first test")]
fn registered<C: Collector + Clone + 'static>(metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("a metric's name is valid");
    prometheus::register(Box::new(metric.clone())).expect("a metric is declared once");
    metric
}

/// Everything that is registered, in the text format of Prometheus.
pub fn render() -> Result<Vec<u8>, prometheus::Error> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&prometheus::gather(), &mut text)?;
    Ok(text)
}
