//! What notifications does, a file each.

use std::time::Duration;

use platform::{postgres::Database, worker::Wake};

use crate::{clients::telegram::Telegram, domain::delivery::Pace};

pub mod deliver;
pub mod list;
mod record;

/// The messages about orders. Clones work on the same ones.
#[derive(Debug, Clone)]
pub struct Messages {
    database: Database,
    /// Wakes whoever delivers; without one, messages are only kept and logged.
    deliver: Option<Wake>,
}

impl Messages {
    pub fn new(database: Database, deliver: Option<Wake>) -> Self {
        Self { database, deliver }
    }
}

/// The deliveries of messages to Telegram.
pub struct Deliveries {
    database: Database,
    telegram: Telegram,
    pace: Pace,
    lease: Duration,
}

impl Deliveries {
    /// A message that is not delivered is tried again at `pace`, and one whose delivery is cut off after `lease`, which is
    /// longer than a request to Telegram can take.
    pub fn new(database: Database, telegram: Telegram, pace: Pace, lease: Duration) -> Self {
        Self { database, telegram, pace, lease }
    }
}
