//! Spans and log messages that leave the process.

use super::Counters;
use crate::metrics;

metrics! {
    /// Spans for the OTLP collector, by result: exported, failed (the collector did not take them) or dropped (too many
    /// waited for it).
    pub(crate) SPANS: Counters<1> =
        counters("otlp_spans_total", ["result"], [["exported"], ["failed"], ["dropped"]]);
    /// Log messages for Graylog, by result: sent, or dropped (it was away, or too many waited for it).
    pub(crate) GELF_MESSAGES: Counters<1> = counters("gelf_messages_total", ["result"], [["sent"], ["dropped"]]);
}
