//! Metrics of the process, in the default registry of the `prometheus` crate. The modules below declare the metrics
//! that every service has; `docs/metrics.md` lists all metrics.

pub(crate) mod batches;
pub(crate) mod net;
pub(crate) mod postgres;
pub(crate) mod rpc;
mod runtime;
pub(crate) mod telemetry;
pub(crate) mod tls;

use std::{
    collections::HashSet,
    sync::{OnceLock, PoisonError, RwLock},
};

use prometheus::{
    Counter, Encoder as _, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, TextEncoder, core::Collector,
};

/// Upper bounds of latency buckets, in seconds.
pub const LATENCY_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The names of some metrics begin with this name.
static SERVICE: OnceLock<&'static str> = OnceLock::new();

/// Declares metrics. The doc comment of a metric is its help text; after `=` comes a constructor from this module:
///
/// ```
/// # use platform::metrics::Counters;
/// platform::metrics! {
///     /// Changes of carts, each of one SKU: add or delete.
///     pub CART_CHANGES: Counters<1> = counters("checkout_cart_changes_total", ["change"], [["add"], ["delete"]]);
/// }
/// declare();
/// CART_CHANGES.with(["add"]).inc();
/// ```
///
/// The macro also defines `declare`, a function that shows all these metrics at zero, with their known label values.
#[macro_export]
macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $vis:vis $name:ident: $type:ty = $make:ident($($argument:expr),+);)+) => {
        $($(#[doc = $help])+ $vis static $name: std::sync::LazyLock<$type> = std::sync::LazyLock::new(|| {
            $crate::metrics::$make(concat!($($help),+).trim(), $($argument),+)
        });)+

        pub fn declare() {
            $(std::sync::LazyLock::force(&$name);)+
        }
    };
}

metrics! {
    /// Steps of background work by outcome: worked, idle or failed.
    pub(crate) WORKER_STEPS: Counters<2> = counters_of_any("worker_steps_total", ["worker", "outcome"]);
    /// Time since the last step of background work that did not fail, in seconds.
    pub(crate) WORKER_SUCCESS_AGE: GaugeVec = float_gauges("worker_last_success_age_seconds", &["worker"]);
    /// Calls refused for a reason of the business, by reason.
    REFUSALS: Counters<1> = counters_of_any(&prefixed("refusals_total"), ["reason"]);
}

/// Counts a refusal.
pub(crate) fn count_refusal(reason: &str) {
    // It may be a newer service's, passed on, so it need not be one that this build knows.
    let reason = if REFUSALS.has([reason]) { reason } else { "_OTHER" };
    REFUSALS.family.with_label_values(&[reason]).inc();
}

/// Shows the metrics that every service has, at zero. Must be called before a metric is used.
pub(crate) fn declare_for(service: &'static str, transactions: &[&str], reasons: &[&str]) {
    // In tests, several services share a process. The first one names the metrics.
    let _ = SERVICE.set(service);
    declare();
    runtime::declare_for(service);
    net::declare_all();
    rpc::declare();
    postgres::declare_for(transactions);
    telemetry::declare();
    tls::declare();
    REFUSALS.declare(reasons.iter().map(|reason| [*reason]));
}

/// The name of a metric, with the name of the service before it.
pub(crate) fn prefixed(name: &str) -> String {
    format!("{}_{name}", SERVICE.get().unwrap_or(&"service"))
}

pub struct Counters<const LABELS: usize> {
    family: IntCounterVec,
    /// The only label values that may occur; `None` if any value may.
    declared: RwLock<Option<HashSet<[String; LABELS]>>>,
}

impl<const LABELS: usize> Counters<LABELS> {
    /// Shows these label values at zero. From now on, only declared values may occur.
    pub(crate) fn declare<'a>(&self, values: impl IntoIterator<Item = [&'a str; LABELS]>) {
        let mut declared = self.declared.write().unwrap_or_else(PoisonError::into_inner);
        let declared = declared.get_or_insert_default();
        for values in values {
            self.family.with_label_values(&values);
            declared.insert(values.map(str::to_owned));
        }
    }

    /// Whether these label values may occur.
    pub(crate) fn has(&self, values: [&str; LABELS]) -> bool {
        let declared = self.declared.read().unwrap_or_else(PoisonError::into_inner);
        declared.as_ref().is_none_or(|declared| declared.contains(&values.map(str::to_owned)))
    }

    /// The counter with these label values. Development builds panic at undeclared values, so that a test finds a value
    /// that metrics do not show from the start.
    pub fn with(&self, values: [&str; LABELS]) -> IntCounter {
        if cfg!(debug_assertions) {
            assert!(self.has(values), "{values:?} are not among the declared {:?}", self.declared);
        }
        self.family.with_label_values(&values)
    }
}

pub fn counter(help: &str, name: &str) -> IntCounter {
    register(IntCounter::new(name, help))
}

fn float_counter(help: &str, name: &str) -> Counter {
    register(Counter::new(name, help))
}

/// Counters with these label values and no others.
pub fn counters<const LABELS: usize>(
    help: &str,
    name: &str,
    labels: [&str; LABELS],
    values: impl IntoIterator<Item = [&'static str; LABELS]>,
) -> Counters<LABELS> {
    let counters = counters_of_any(help, name, labels);
    counters.declare(values);
    counters
}

/// Counters with any label values, until [`Counters::declare`] is called.
pub(crate) fn counters_of_any<const LABELS: usize>(help: &str, name: &str, labels: [&str; LABELS]) -> Counters<LABELS> {
    Counters { family: register(IntCounterVec::new(Opts::new(name, help), &labels)), declared: RwLock::new(None) }
}

pub fn gauge(help: &str, name: &str) -> IntGauge {
    register(IntGauge::new(name, help))
}

pub(crate) fn gauges(help: &str, name: &str, labels: &[&str]) -> IntGaugeVec {
    register(IntGaugeVec::new(Opts::new(name, help), labels))
}

fn float_gauges(help: &str, name: &str, labels: &[&str]) -> GaugeVec {
    register(GaugeVec::new(Opts::new(name, help), labels))
}

pub fn histogram(help: &str, name: &str, buckets: &[f64]) -> Histogram {
    register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.into())))
}

pub(crate) fn histograms(help: &str, name: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    register(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.into()), labels))
}

/// Histograms of seconds.
pub(crate) fn latencies(help: &str, name: &str, labels: &[&str]) -> HistogramVec {
    histograms(help, name, labels, LATENCY_BUCKETS)
}

#[allow(clippy::expect_used, reason = "names are constants: the first test finds an invalid or repeated name")]
fn register<C: Collector + Clone + 'static>(metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("a metric's name is valid");
    prometheus::register(Box::new(metric.clone())).expect("a metric is declared once");
    metric
}

/// All metrics in the text format of Prometheus.
pub fn render() -> Result<Vec<u8>, prometheus::Error> {
    runtime::update();
    let mut text = Vec::new();
    TextEncoder::new().encode(&prometheus::gather(), &mut text)?;
    Ok(text)
}
