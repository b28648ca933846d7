//! The build, and the state of the Tokio runtime when metrics are read.

use std::time::Duration;

use prometheus::{Counter, IntGauge, IntGaugeVec};
use tokio::runtime::Handle;

use crate::metrics;

metrics! {
    /// 1, labelled with what was built.
    BUILD: IntGaugeVec = gauges("build_info", &["service", "version", "revision"]);
    /// Worker threads of the Tokio runtime.
    WORKERS: IntGauge = gauge("tokio_workers");
    /// Tasks of the Tokio runtime that have not ended.
    TASKS: IntGauge = gauge("tokio_alive_tasks");
    /// Tasks that wait in the global queue of the Tokio runtime.
    QUEUE: IntGauge = gauge("tokio_global_queue_depth");
    /// Time that all worker threads of the Tokio runtime together were busy, in seconds.
    BUSY: Counter = float_counter("tokio_worker_busy_seconds_total");
    /// How often a worker thread of the Tokio runtime went to sleep for lack of work.
    PARKS: Counter = float_counter("tokio_worker_parks_total");
}

pub(super) fn declare_for(service: &str) {
    declare();
    // Only the build of the images sets the revision.
    let revision = option_env!("BUILD_REVISION").unwrap_or("unknown");
    BUILD.with_label_values(&[service, env!("CARGO_PKG_VERSION"), revision]).set(1);
}

pub(super) fn update() {
    let Ok(runtime) = Handle::try_current() else { return };
    let metrics = runtime.metrics();
    let workers = metrics.num_workers();
    set(&WORKERS, workers);
    set(&TASKS, metrics.num_alive_tasks());
    set(&QUEUE, metrics.global_queue_depth());
    let busy: Duration = (0..workers).map(|worker| metrics.worker_total_busy_duration(worker)).sum();
    let parks: u64 = (0..workers).map(|worker| metrics.worker_park_count(worker)).sum();
    raise_to(&BUSY, busy.as_secs_f64());
    #[allow(clippy::cast_precision_loss, reason = "exact up to 2^53")]
    raise_to(&PARKS, parks as f64);
}

fn set(gauge: &IntGauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

/// Two concurrent scrapes may raise a counter too far. It then stays there until the total has caught up.
fn raise_to(counter: &Counter, total: f64) {
    counter.inc_by((total - counter.get()).max(0.0));
}
