//! What a consumer counts. The names begin with the name of the service that reads.

use prometheus::{IntCounter, IntGauge};

use crate::{
    metrics,
    metrics::{Counters, own},
};

metrics! {
    /// Order events read, by result: stored, duplicate or dead_lettered.
    pub EVENTS: Counters<1> = counters(&own("events_total"), ["result"], [["stored"], ["duplicate"], ["dead_lettered"]]);
    /// Unreadable events that could not be written to the dead-letter topic yet; their partitions stand still.
    pub DEAD_LETTERS_OWED: IntGauge = gauge(&own("dead_letters_owed"));
    /// Attempts to write a dead letter that failed.
    pub DEAD_LETTER_FAILURES: IntCounter = counter(&own("dead_letter_failures_total"));
    /// 1 while consumption is paused by SIGUSR1, else 0.
    pub PAUSED: IntGauge = gauge(&own("consumption_paused"));
    /// Events in the partitions of this replica that are not committed yet, paused or not.
    pub LAG: IntGauge = gauge(&own("consumer_lag_events"));
}
