//! What operators see of an order and of the outbox.

use chrono::{DateTime, Utc};
use proto::ids::OrderId;

use super::{
    order::OrderDetails,
    plan::Reservation,
    status::{State, Status},
    unsent::Unsent,
};

/// An order with all that belongs to it, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedOrder {
    pub details: OrderDetails,
    /// By SKU and warehouse.
    pub reservations: Vec<Reservation>,
    /// Its events in the outbox, oldest first.
    pub unsent: Vec<Unsent>,
    /// The moment, by the clock of the database.
    pub now: DateTime<Utc>,
}

impl InspectedOrder {
    /// An order that awaits payment and holds nothing can be neither paid nor cancelled.
    pub fn has_lost_its_reservations(&self) -> bool {
        self.details.order.state == State::AwaitingPayment && self.reservations.is_empty()
    }

    /// It should be cancelled by now.
    pub fn is_overdue(&self) -> bool {
        self.details.order.state == State::AwaitingPayment && self.details.order.pay_before <= self.now
    }
}

/// What waits to be published, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedOutbox {
    /// Up to 100,000, which also stands for more.
    pub events: i64,
    /// Whose events they are.
    pub orders: i64,
    /// When the oldest event occurred.
    pub oldest: Option<DateTime<Utc>>,
    /// The orders whose events wait longest.
    pub longest: Vec<WaitingOrder>,
    /// Who publishes.
    pub relay: Option<RelayHolder>,
    /// The moment, by the clock of the database.
    pub now: DateTime<Utc>,
}

/// An order with events in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingOrder {
    pub order: OrderId,
    pub events: i64,
    /// Of the event that is to be published next.
    pub status: Status,
    pub since: DateTime<Utc>,
}

/// The session that holds the lock of the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayHolder {
    pub pid: i32,
    pub application: Option<String>,
    /// `None` for a Unix socket.
    pub address: Option<String>,
    pub since: Option<DateTime<Utc>>,
}
