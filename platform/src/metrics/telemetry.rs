//! What becomes of spans and log messages on their way out of the process.

use std::sync::LazyLock;

use prometheus::IntCounterVec;

use super::counters;

/// Spans, by what became of them.
pub(crate) static SPANS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "otlp_spans_total",
        "Spans for the OTLP collector, by result: exported, failed (the collector did not take them) or dropped (too \
         many waited for it).",
        &["result"],
    )
});

/// Log messages for Graylog, by what became of them.
pub(crate) static GELF_MESSAGES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "gelf_messages_total",
        "Log messages for Graylog, by result: sent, or dropped (it was away, or too many waited for it).",
        &["result"],
    )
});

pub(super) fn declare() {
    for result in ["exported", "failed", "dropped"] {
        SPANS.with_label_values(&[result]);
    }
    for result in ["sent", "dropped"] {
        GELF_MESSAGES.with_label_values(&[result]);
    }
}
