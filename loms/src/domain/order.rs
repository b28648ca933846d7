//! What an order may become, and when: `new -> awaiting payment | failed; awaiting payment -> paid | cancelled`.

use chrono::{DateTime, Utc};
use proto::ids::{OrderId, UserId};

use super::{
    lines::Line,
    message,
    plan::{Reservation, Shortage},
    status::{State, Status},
    transition::{Announcement, Transition},
};

/// An order as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub id: OrderId,
    pub created_at: DateTime<Utc>,
    /// The moment from which it cannot be paid any more.
    pub pay_before: DateTime<Utc>,
    pub state: State,
}

/// An order with everything that its customer asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderDetails {
    pub order: Order,
    pub user: UserId,
    /// By SKU.
    pub lines: Vec<Line>,
}

/// An order that is about to be created. Its number is taken, and nothing is written yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewOrder {
    pub id: OrderId,
    /// Until when it can be paid, if it can be reserved.
    pub pay_before: DateTime<Utc>,
}

impl NewOrder {
    /// The order awaits payment if its lines were planned, and else fails. It tells of both its first statuses at
    /// once, because nobody sees it before it has the second.
    pub fn decide(self, plan: &Result<Vec<Reservation>, Shortage>) -> Transition {
        let (to, message) = match plan {
            Ok(_) => (State::AwaitingPayment, message::awaits_payment(self.id, self.pay_before)),
            Err(shortage) => (State::Failed(*shortage), message::failed(self.id, shortage.sku)),
        };
        let events =
            vec![Announcement::new(Status::New, message::created(self.id)), Announcement::new(to.status(), message)];
        Transition::new(self.id, Status::New, to, events)
    }
}

/// Why an order is not shown or not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderRefusal {
    NotFound(OrderId),
    /// It awaits payment, and its reservations are gone.
    Inconsistent(OrderId),
    /// It cannot be paid: its deadline has passed, whether or not it is cancelled by now.
    Expired {
        order: OrderId,
        status: Status,
        pay_before: DateTime<Utc>,
    },
    NotPayable {
        order: OrderId,
        status: Status,
    },
    NotCancellable {
        order: OrderId,
        status: Status,
    },
}

impl Order {
    /// Pays the order; `None` if it is paid already.
    pub fn pay(&self, now: DateTime<Utc>) -> Result<Option<Transition>, OrderRefusal> {
        let (order, status) = (self.id, self.state.status());
        match status {
            Status::Paid => Ok(None),
            Status::AwaitingPayment | Status::Cancelled if now >= self.pay_before => {
                Err(OrderRefusal::Expired { order, status, pay_before: self.pay_before })
            }
            Status::AwaitingPayment => Ok(Some(self.becomes(State::Paid, message::paid(order)))),
            Status::New | Status::Failed | Status::Cancelled => Err(OrderRefusal::NotPayable { order, status }),
        }
    }

    /// Cancels the order; `None` if it is cancelled already.
    pub fn cancel(&self) -> Result<Option<Transition>, OrderRefusal> {
        let (order, status) = (self.id, self.state.status());
        match status {
            Status::Cancelled => Ok(None),
            Status::AwaitingPayment => Ok(Some(self.becomes(State::Cancelled, message::cancelled(order)))),
            Status::New | Status::Failed | Status::Paid => Err(OrderRefusal::NotCancellable { order, status }),
        }
    }

    /// Cancels the order for want of payment; `None` if it does not await payment or its deadline is yet to come.
    pub fn expire(&self, now: DateTime<Utc>) -> Option<Transition> {
        let is_due = self.state == State::AwaitingPayment && now >= self.pay_before;
        is_due.then(|| self.becomes(State::Cancelled, message::expired(self.id)))
    }

    fn becomes(&self, to: State, message: String) -> Transition {
        let event = Announcement::new(to.status(), message);
        Transition::new(self.id, self.state.status(), to, vec![event])
    }
}
