//! An event on its way out.

use proto::event::Event;

/// An event that is not published yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsent {
    /// Its place in the outbox.
    pub id: i64,
    pub event: Event,
    /// The trace context of the change that it tells of.
    pub traceparent: Option<String>,
}
