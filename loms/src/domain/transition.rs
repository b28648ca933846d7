//! A change of an order's status as a value that cannot be parted from its events. Only the rules of
//! [`order`](super::order) make one, and the store changes a status in no other way.

use proto::ids::OrderId;

use super::status::{State, Status};

/// An order leaves one status for another, and tells so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    order: OrderId,
    from: Status,
    to: State,
    events: Vec<Announcement>,
}

/// What an order tells about a status it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    status: Status,
    message: String,
}

impl Transition {
    pub(super) fn new(order: OrderId, from: Status, to: State, events: Vec<Announcement>) -> Self {
        Self { order, from, to, events }
    }

    pub fn order(&self) -> OrderId {
        self.order
    }

    /// The status it must have for the change to happen.
    pub fn from(&self) -> Status {
        self.from
    }

    pub fn to(&self) -> &State {
        &self.to
    }

    /// What is told, in this order. At least one event.
    pub fn events(&self) -> &[Announcement] {
        &self.events
    }
}

impl Announcement {
    pub(super) fn new(status: Status, message: String) -> Self {
        Self { status, message }
    }

    pub fn status(&self) -> Status {
        self.status
    }

    /// The same in a sentence for the customer.
    pub fn message(&self) -> &str {
        &self.message
    }
}
