//! Cancels the orders that nobody paid in time.

use std::{collections::BTreeSet, time::Duration};

use platform::{
    failure::Failure,
    postgres::{Locks, Transaction},
    telemetry::trace,
};
use proto::ids::OrderId;
use tracing::{field::Empty, info, info_span};

use super::Orders;
use crate::{
    metrics,
    store::{self, Change, orders::LockedOrder},
};

/// An order that was cancelled.
struct Expired {
    change: Change,
    units: u64,
    /// How long after its deadline that was, in seconds.
    lag: f64,
}

impl Orders {
    /// The orders whose payment deadline has passed, the longest overdue first and at most `limit` of them, but for those
    /// in `except`.
    pub async fn due(&self, limit: usize, except: &[i64]) -> Result<Vec<OrderId>, Failure> {
        store::unpaid::due(&self.database.background(), limit, except).await
    }

    /// Cancels those of the orders whose payment deadline has passed, all or none of them. Answers how many.
    pub async fn expire(&self, orders: &[OrderId], locks: Locks) -> Result<usize, Failure> {
        let attempt = |transaction| expire(transaction, orders, locks);
        let expired = self.database.background().transact("expire_orders", attempt).await?;
        for Expired { change, units, lag } in &expired {
            metrics::count(&change.transition, *units);
            metrics::EXPIRY_LAG_SECONDS.observe(*lag);
            change.span.in_scope(|| info!("an unpaid order is cancelled"));
        }
        if !expired.is_empty() {
            self.relay.wake();
        }
        Ok(expired.len())
    }

    /// How long until the next order expires, but for those in `except`; `None` while none awaits payment.
    pub async fn next_expiry(&self, except: &[i64]) -> Result<Option<Duration>, Failure> {
        store::unpaid::next_deadline(&self.database.background(), except).await
    }
}

async fn expire(mut transaction: Transaction, orders: &[OrderId], locks: Locks) -> Result<Vec<Expired>, Failure> {
    if locks == Locks::Wait {
        store::wait_for(&mut transaction, &orders.iter().copied().collect(), &BTreeSet::new()).await?;
    }
    let locked = store::orders::lock(&mut transaction, orders).await?;
    let expired = locked.into_values().flatten().filter_map(change).collect::<Result<Vec<_>, Failure>>()?;
    if expired.is_empty() {
        transaction.release().await?;
        return Ok(expired);
    }
    let changes: Vec<Change> = expired.iter().map(|expired| expired.change.clone()).collect();
    let units = expired.iter().map(|expired| expired.units).sum();
    let write = async {
        store::apply(&mut transaction, &changes, units).await?;
        transaction.commit().await
    };
    write.await.inspect_err(|failure| {
        for change in &changes {
            trace::fail(&change.span, failure.kind());
        }
    })?;
    Ok(expired)
}

/// The change of an order that is due, in a span of its own in the trace of the step. The span is linked to the trace in
/// which the order began, minutes ago. `None` if somebody paid or cancelled it meanwhile.
fn change(LockedOrder { order, units, traceparent, now }: LockedOrder) -> Option<Result<Expired, Failure>> {
    let transition = order.expire(now)?;
    let Some(units) = units else {
        return Some(Err(Failure::unforeseen("an order that awaits payment has no reservations")));
    };
    let span = info_span!("expire order", otel.status_code = Empty, "error.type" = Empty, order.id = order.id.get());
    trace::link(&span, traceparent.as_deref());
    let lag = (now - order.pay_before).as_seconds_f64();
    Some(Ok(Expired { change: Change { transition, span }, units, lag }))
}
