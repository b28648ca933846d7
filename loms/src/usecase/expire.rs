//! Cancels the orders that nobody paid in time.

use std::time::Duration;

use platform::{failure::Failure, ids::OrderId, postgres::retrying};

use super::Orders;
use crate::{
    domain::{order::Order, transition::Transition},
    metrics,
    store::{
        self,
        reservations::{self, Fate},
    },
};

/// The name of the transaction.
const NAME: &str = "expire_orders";

impl Orders {
    /// Cancels orders whose payment deadline has passed, the longest overdue first and at most `limit` of them, and
    /// passes over those that somebody else is about to change. Answers how many.
    pub async fn expire(&self, limit: usize) -> Result<usize, Failure> {
        let expired = retrying(NAME, || self.expire_once(limit)).await?;
        let (transitions, lags): (Vec<_>, Vec<_>) = expired.into_iter().unzip();
        for lag in lags {
            metrics::EXPIRY_LAG_SECONDS.observe(lag);
        }
        if !transitions.is_empty() {
            self.committed(&transitions);
        }
        Ok(transitions.len())
    }

    /// How long until the next order expires; `None` while none awaits payment.
    pub async fn next_expiry(&self) -> Result<Option<Duration>, Failure> {
        let next = store::orders::next_deadline(&self.database).await?;
        Ok(next.value.map(|deadline| (deadline - next.now).to_std().unwrap_or_default()))
    }

    async fn expire_once(&self, limit: usize) -> Result<Vec<(Transition, f64)>, Failure> {
        let mut transaction = self.database.begin(NAME).await?;
        let due = store::orders::lock_due(&mut transaction, limit).await?;
        if due.value.is_empty() {
            return Ok(Vec::new());
        }
        let transitions: Option<Vec<_>> = due.value.iter().map(|order| order.expire(due.now)).collect();
        let transitions = transitions.ok_or_else(|| Failure::unforeseen("orders that are due can expire"))?;
        let orders: Vec<OrderId> = transitions.iter().map(Transition::order).collect();
        reservations::end(&mut transaction, &orders, Fate::Freed).await?;
        store::apply(&mut transaction, &transitions).await?;
        transaction.commit().await?;
        let lag = |order: &Order| (due.now - order.pay_before).as_seconds_f64();
        Ok(std::iter::zip(transitions, due.value.iter().map(lag)).collect())
    }
}
