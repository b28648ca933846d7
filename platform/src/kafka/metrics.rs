//! Metrics of a consumer. Their names begin with the name of the service.

use prometheus::{IntCounter, IntGauge};

use crate::{
    metrics,
    metrics::{Counters, prefixed},
};

metrics! {
    /// Events read, by result: stored, duplicate or dead_lettered.
    pub EVENTS: Counters<1> =
        counters(&prefixed("events_total"), ["result"], [["stored"], ["duplicate"], ["dead_lettered"]]);
    /// Unreadable events that could not be written to the dead-letter topic yet; their partitions stand still.
    pub DEAD_LETTERS_OWED: IntGauge = gauge(&prefixed("dead_letters_owed"));
    /// Attempts to write a dead letter that failed.
    pub DEAD_LETTER_FAILURES: IntCounter = counter(&prefixed("dead_letter_failures_total"));
    /// 1 while consumption is paused by SIGUSR1, else 0.
    pub PAUSED: IntGauge = gauge(&prefixed("consumption_paused"));
    /// Events in the partitions of this replica that are not committed yet, paused or not.
    pub LAG: IntGauge = gauge(&prefixed("consumer_lag_events"));
}
