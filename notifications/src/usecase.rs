//! What notifications does, a file each.

use std::time::Duration;

use platform::{postgres::Database, worker::Wake};

use crate::{
    clients::telegram::Telegram,
    domain::{delivery::Pace, pace::Allowance},
};

pub mod deliver;
mod keep;
pub mod list;
mod undelivered;

pub use undelivered::Retry;

/// The messages about orders. Clones work on the same ones.
#[derive(Debug, Clone)]
pub struct Messages {
    pub database: Database,
    /// Wakes whoever delivers; without one, messages are only kept and logged.
    pub deliver: Option<Wake>,
}

/// The deliveries that are not made, as operators see them.
#[derive(Debug)]
pub struct Undelivered {
    pub database: Database,
}

/// The deliveries of messages to Telegram.
pub struct Deliveries {
    pub database: Database,
    pub telegram: Telegram,
    /// What the chat may get.
    pub allowance: Allowance,
    /// When a message is tried again that was not delivered.
    pub retry: Pace,
    /// After how long a message is tried again whose delivery was cut off; longer than a request to Telegram can take.
    pub lease: Duration,
}
