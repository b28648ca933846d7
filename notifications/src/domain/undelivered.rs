//! A message that Telegram has not taken.

use chrono::{DateTime, Utc};
use proto::ids::{OrderId, UserId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    pub message: i64,
    pub order: OrderId,
    pub user: UserId,
    /// The status of the order that the message tells of.
    pub status: String,
    pub text: String,
    pub received_at: DateTime<Utc>,
    /// How often it was tried.
    pub attempts: i32,
    /// Why the last attempt failed.
    pub error: Option<String>,
    pub fate: Fate,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is tried from this moment on.
    Due(DateTime<Utc>),
    /// It was given up then.
    Dead(DateTime<Utc>),
}

/// A delivery that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dead {
    pub message: i64,
    pub order: OrderId,
}
