//! The background step that cancels unpaid orders: a batch at a time, again at the next deadline. Replicas may run it at
//! once; the database's clock and row locks decide. An order that cannot be cancelled is skipped and holds up no other.

use std::time::Duration;

use platform::{
    batches::Locks,
    failure::{Failure, chain},
    skipped::{Skipped, halve},
    worker::{Next, Step},
};
use proto::ids::OrderId;
use tracing::warn;

use crate::usecase::Orders;

/// How many orders are cancelled in one transaction.
const BATCH: usize = 100;
/// Orders created meanwhile may have an earlier deadline than any that was seen, but none below this.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A deadline that has passed already belongs to an order that somebody else is about to change.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub struct Expiry {
    orders: Orders,
    skipped: Skipped,
}

impl Expiry {
    /// Also answers what the step skips.
    pub fn new(orders: Orders) -> (Self, Skipped) {
        let skipped = Skipped::new(Self::NAME);
        (Self { orders, skipped: skipped.clone() }, skipped)
    }
}

impl Expiry {
    /// Answers how many orders are cancelled.
    async fn expire(&self, due: &[OrderId], locks: Locks) -> Result<usize, Failure> {
        let orders = &self.orders;
        // Somebody may hold the stock of one of them for long.
        let may_be_an_order = |failure: &Failure| matches!(failure, Failure::Unforeseen(_) | Failure::Locked(_));
        let (cancelled, impossible) = halve(due, may_be_an_order, |due| orders.expire(due, locks)).await?;
        for (order, failure) in impossible {
            warn!(order.id = order.get(), error = chain(&failure), "an order cannot be cancelled and is skipped");
            self.skipped.add(order.get(), &failure);
        }
        Ok(cancelled)
    }
}

impl Step for Expiry {
    const NAME: &'static str = "expiry";

    async fn step(&mut self) -> Result<Next, Failure> {
        let skipped = self.skipped.items();
        let due = self.orders.due(BATCH, &skipped).await?;
        // Those that others hold, or of whose stock they hold some, can wait for those that are free.
        for locks in [Locks::Skip, Locks::Wait] {
            if self.expire(&due, locks).await? > 0 {
                return Ok(Next::Worked);
            }
        }
        let next = self.orders.next_expiry(&skipped).await?.unwrap_or(LONGEST_PAUSE);
        Ok(Next::Idle(next.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)))
    }
}
