//! What notifications does, a use case a file.

pub mod deliver_next;
pub mod list_history;
pub mod record_events;
