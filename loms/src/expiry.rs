//! The background step that cancels unpaid orders: a batch at a time, again at the next deadline. Replicas may run it at
//! once; the database's clock and row locks decide. An order that cannot be cancelled is skipped and holds up no other.

use std::time::Duration;

use platform::{
    failure::{Failure, chain},
    postgres::Locks,
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

/// More are not passed over before they are waited for.
const MOST_PASSED_OVER: usize = 1000;

#[derive(Debug)]
pub struct Expiry {
    orders: Orders,
    skipped: Skipped,
    /// Orders among which there are some that others held, or of whose stock they held some.
    passed_over: Vec<OrderId>,
}

impl Expiry {
    /// Also answers what the step skips.
    pub fn new(orders: Orders) -> (Self, Skipped) {
        let skipped = Skipped::new(Self::NAME);
        (Self { orders, skipped: skipped.clone(), passed_over: Vec::new() }, skipped)
    }

    /// Cancels orders that are due. Those that cannot be cancelled are skipped from then on. Answers whether others hold
    /// some of the rest.
    async fn expire(&self, due: &[OrderId], locks: Locks) -> Result<bool, Failure> {
        let orders = &self.orders;
        let may_be_an_order = |failure: &Failure| matches!(failure, Failure::Unforeseen(_));
        let (cancelled, impossible) = halve(due, may_be_an_order, |due| orders.expire(due, locks)).await?;
        let rest = due.len() - cancelled - impossible.len();
        for (order, failure) in impossible {
            warn!(order.id = order.get(), error = chain(&failure), "an order cannot be cancelled and is skipped");
            self.skipped.add(order.get(), &failure);
        }
        Ok(rest > 0)
    }

    /// Waits for what was passed over. What others hold for too long is skipped for a while.
    async fn expire_passed_over(&mut self) -> Result<(), Failure> {
        let orders = std::mem::take(&mut self.passed_over);
        match self.expire(&orders, Locks::Wait).await {
            Err(failure @ Failure::Locked(_)) => {
                self.expire(&orders, Locks::Skip).await?;
                warn!(error = chain(&failure), "orders that others hold, or their stock, are skipped");
                orders.iter().for_each(|order| self.skipped.add(order.get(), &failure));
                Ok(())
            }
            expired => expired.map(drop),
        }
    }
}

impl Step for Expiry {
    const NAME: &'static str = "expiry";

    async fn step(&mut self) -> Result<Next, Failure> {
        let skipped = self.skipped.items();
        let passed_over = self.passed_over.iter().map(|order| order.get());
        let except: Vec<i64> = skipped.iter().copied().chain(passed_over).collect();
        // Most looks find nothing that is due.
        let next = self.orders.next_expiry(&except).await?;
        if next == Some(Duration::ZERO) && self.passed_over.len() < MOST_PASSED_OVER {
            let due = self.orders.due(BATCH, &except).await?;
            if !due.is_empty() {
                // What is free does not wait for what others hold.
                if self.expire(&due, Locks::Skip).await? {
                    self.passed_over.extend(due);
                }
                return Ok(Next::Worked);
            }
        }
        if !self.passed_over.is_empty() {
            self.expire_passed_over().await?;
            return Ok(Next::Worked);
        }
        Ok(Next::Idle(next.unwrap_or(LONGEST_PAUSE).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)))
    }
}
