//! Calls that share a transaction.

use prometheus::{HistogramVec, IntGaugeVec};

use crate::metrics;

/// A batch has up to 256 calls.
const CALLS_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

metrics! {
    /// Calls that wait for their transaction, by batch.
    pub(crate) WAITING: IntGaugeVec = gauges("batch_waiting_calls", &["batch"]);
    /// Time that a call waits until a transaction takes it, in seconds. A call that needs what others hold waits twice.
    pub(crate) WAIT_SECONDS: HistogramVec = latencies("batch_wait_seconds", &["batch"]);
    /// Calls that shared a transaction.
    pub(crate) CALLS: HistogramVec = histograms("batch_calls", &["batch"], CALLS_BUCKETS);
}

/// Shows a batch at zero.
pub(crate) fn declare_for(batch: &str) {
    declare();
    WAITING.with_label_values(&[batch]);
    WAIT_SECONDS.with_label_values(&[batch]);
    CALLS.with_label_values(&[batch]);
}
