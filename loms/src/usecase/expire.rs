//! Cancels the orders that nobody paid in time.

use std::time::Duration;

use platform::{failure::Failure, postgres::Transaction, telemetry::trace};
use proto::ids::OrderId;
use tracing::{field::Empty, info, info_span};

use super::Orders;
use crate::{
    domain::order::Fate,
    metrics,
    store::{self, Change, orders::DueOrder},
};

/// Orders that were cancelled, each with how long after its deadline that was, in seconds.
type Expired = Vec<(Change, f64)>;

impl Orders {
    /// The orders whose payment deadline has passed, the longest overdue first and at most `limit` of them, but for those
    /// in `except`.
    pub async fn due(&self, limit: usize, except: &[i64]) -> Result<Vec<OrderId>, Failure> {
        store::orders::due(&self.database, limit, except).await
    }

    /// Cancels those of the orders whose payment deadline has passed, all or none of them, and passes over those that
    /// somebody else is about to change. Answers how many.
    pub async fn expire(&self, orders: &[OrderId]) -> Result<usize, Failure> {
        let attempt = |transaction| expire(transaction, orders);
        let (expired, units) = self.database.transact("expire_orders", attempt).await?;
        if expired.is_empty() {
            return Ok(0);
        }
        for (Change { transition, span }, lag) in &expired {
            metrics::count(transition);
            metrics::EXPIRY_LAG_SECONDS.observe(*lag);
            span.in_scope(|| info!("an unpaid order is cancelled"));
        }
        metrics::count_ended(units, Fate::Freed);
        self.relay.wake();
        Ok(expired.len())
    }

    /// How long until the next order expires, but for those in `except`; `None` while none awaits payment.
    pub async fn next_expiry(&self, except: &[i64]) -> Result<Option<Duration>, Failure> {
        store::orders::next_deadline(&self.database, except).await
    }
}

/// Answers the orders that are cancelled, and how many units that freed.
async fn expire(mut transaction: Transaction, orders: &[OrderId]) -> Result<(Expired, u64), Failure> {
    let due = store::orders::lock_due(&mut transaction, orders).await?;
    let expired = due.iter().map(change).collect::<Result<Expired, Failure>>()?;
    let changes: Vec<_> = expired.iter().map(|(change, _)| change.clone()).collect();
    if changes.is_empty() {
        return Ok((expired, 0));
    }
    let units = write(transaction, &changes).await.inspect_err(|failure| {
        for change in &changes {
            trace::fail(&change.span, failure.kind());
        }
    })?;
    Ok((expired, units))
}

/// The change of a due order, in a span of its own in the trace of the step. The span is linked to the trace in which the
/// order began, minutes ago.
fn change(DueOrder { order, traceparent, now }: &DueOrder) -> Result<(Change, f64), Failure> {
    let span = info_span!("expire order", otel.status_code = Empty, "error.type" = Empty, order.id = order.id.get());
    trace::link(&span, traceparent.as_deref());
    let transition = order.expire(*now).ok_or_else(|| Failure::unforeseen("an order that is due can expire"))?;
    Ok((Change { transition, span }, (*now - order.pay_before).as_seconds_f64()))
}

/// Makes the changes durable. Answers how many units they freed.
async fn write(mut transaction: Transaction, changes: &[Change]) -> Result<u64, Failure> {
    let orders: Vec<OrderId> = changes.iter().map(|change| change.transition.order()).collect();
    let units = store::reservation::end(&mut transaction, &orders, Fate::Freed).await?;
    let units = units.ok_or_else(|| Failure::unforeseen("an order that awaits payment has no reservations"))?;
    store::apply(&mut transaction, changes).await?;
    transaction.commit().await?;
    Ok(units)
}
