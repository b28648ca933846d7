//! The background step that cancels unpaid orders: a batch at a time, again at the next deadline. Replicas may run it at
//! once; the database's clock and row locks decide.

use std::time::Duration;

use platform::{
    failure::Failure,
    worker::{Next, Step},
};

use crate::usecase::Orders;

/// How many orders are cancelled in one transaction.
const BATCH: usize = 100;
/// Orders created meanwhile may have an earlier deadline than any that was seen, but none below this.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A deadline that has passed already belongs to an order that somebody else is about to change.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub struct Expiry {
    pub orders: Orders,
}

impl Step for Expiry {
    const NAME: &'static str = "expiry";

    async fn step(&mut self) -> Result<Next, Failure> {
        if self.orders.expire(BATCH).await? > 0 {
            return Ok(Next::Worked);
        }
        let next = self.orders.next_expiry().await?.unwrap_or(LONGEST_PAUSE);
        Ok(Next::Idle(next.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)))
    }
}
