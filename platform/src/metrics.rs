//! Metrics of the process, in the default registry of the `prometheus` crate. What every service has is declared in the
//! modules below; `docs/metrics.md` lists all.

pub(crate) mod postgres;
pub(crate) mod rpc;
mod runtime;
pub(crate) mod telemetry;

use std::{
    collections::HashSet,
    sync::{OnceLock, PoisonError, RwLock},
};

use prometheus::{
    Counter, Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, TextEncoder, core::Collector,
};

/// Bounds of latency histograms in seconds: they can show half a millisecond and ten seconds.
pub const LATENCY_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The name of the service, with which the names of some metrics begin.
static SERVICE: OnceLock<&'static str> = OnceLock::new();

/// Declares metrics. The doc comment of each is its help text; a constructor of this module makes it:
///
/// ```
/// # use platform::metrics::Counters;
/// platform::metrics! {
///     /// Changes of carts: units added (add) or taken off (delete).
///     pub CART_CHANGES: Counters<1> = counters("checkout_cart_changes_total", ["change"], [["add"], ["delete"]]);
/// }
/// declare();
/// CART_CHANGES.with(["add"]).inc();
/// ```
///
/// The block makes a function `declare`, which shows all of them, with the label values that are known, at zero.
#[macro_export]
macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $vis:vis $name:ident: $type:ty = $make:ident($($argument:expr),+);)+) => {
        $($(#[doc = $help])+ $vis static $name: std::sync::LazyLock<$type> = std::sync::LazyLock::new(|| {
            $crate::metrics::$make(concat!($($help),+).trim(), $($argument),+)
        });)+

        /// Shows every metric of the block above.
        pub fn declare() {
            $(std::sync::LazyLock::force(&$name);)+
        }
    };
}

metrics! {
    /// Steps of background work by outcome: worked, idle or failed.
    pub(crate) WORKER_STEPS: Counters<2> = counters_of_any("worker_steps_total", ["worker", "outcome"]);
    /// Calls refused for a reason of the business, by reason.
    pub(crate) REFUSALS: Counters<1> = counters_of_any(&own("refusals_total"), ["reason"]);
}

/// Shows at zero what every service has, and which build this is. To be called before any metric is used.
pub(crate) fn declare_for(service: &'static str, transactions: &[&str], reasons: &[&str]) {
    // Tests run more than one service in a process; the first gives the name.
    let _ = SERVICE.set(service);
    declare();
    runtime::declare_for(service);
    rpc::declare();
    postgres::declare_for(transactions);
    telemetry::declare();
    REFUSALS.declare(reasons.iter().map(|reason| [*reason]));
}

/// A metric's name, begun with that of the service.
pub(crate) fn own(name: &str) -> String {
    format!("{}_{name}", SERVICE.get().unwrap_or(&"service"))
}

/// Counters by label.
pub struct Counters<const LABELS: usize> {
    family: IntCounterVec,
    /// The values that labels may have, where they are known beforehand.
    known: RwLock<Option<HashSet<[String; LABELS]>>>,
}

impl<const LABELS: usize> Counters<LABELS> {
    /// Shows these label values at zero. From now on none but declared ones may occur.
    pub(crate) fn declare<'a>(&self, values: impl IntoIterator<Item = [&'a str; LABELS]>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        for values in values {
            self.family.with_label_values(&values);
            known.insert(values.map(str::to_owned));
        }
    }

    /// The counter with these label values. In builds for development, values that were not declared are a panic, so that
    /// a test notices that they are not there from the start.
    pub fn with(&self, values: [&str; LABELS]) -> IntCounter {
        if cfg!(debug_assertions)
            && let Some(known) = &*self.known.read().unwrap_or_else(PoisonError::into_inner)
        {
            assert!(known.contains(&values.map(str::to_owned)), "{values:?} are not among the declared {known:?}");
        }
        self.family.with_label_values(&values)
    }
}

/// A counter.
pub fn counter(help: &str, name: &str) -> IntCounter {
    registered(IntCounter::new(name, help))
}

/// A counter of what is no whole number.
fn float_counter(help: &str, name: &str) -> Counter {
    registered(Counter::new(name, help))
}

/// Counters by label, of which these values occur.
pub fn counters<const LABELS: usize>(
    help: &str,
    name: &str,
    labels: [&str; LABELS],
    known: impl IntoIterator<Item = [&'static str; LABELS]>,
) -> Counters<LABELS> {
    let counters = counters_of_any(help, name, labels);
    counters.declare(known);
    counters
}

/// Counters by label whose values are not known beforehand.
pub fn counters_of_any<const LABELS: usize>(help: &str, name: &str, labels: [&str; LABELS]) -> Counters<LABELS> {
    Counters { family: registered(IntCounterVec::new(Opts::new(name, help), &labels)), known: RwLock::new(None) }
}

/// A gauge.
pub fn gauge(help: &str, name: &str) -> IntGauge {
    registered(IntGauge::new(name, help))
}

/// Gauges by label.
pub fn gauges(help: &str, name: &str, labels: &[&str]) -> IntGaugeVec {
    registered(IntGaugeVec::new(Opts::new(name, help), labels))
}

/// A histogram with these bounds.
pub fn histogram(help: &str, name: &str, buckets: &[f64]) -> Histogram {
    registered(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.into())))
}

/// Histograms of latencies in seconds, by label.
pub fn latencies(help: &str, name: &str, labels: &[&str]) -> HistogramVec {
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
    runtime::measure();
    let mut text = Vec::new();
    TextEncoder::new().encode(&prometheus::gather(), &mut text)?;
    Ok(text)
}
