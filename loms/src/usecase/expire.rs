//! Cancels the orders that nobody paid in time.

use std::time::Duration;

use platform::{
    failure::Failure,
    ids::OrderId,
    postgres::{Transaction, retrying},
    telemetry::trace,
};
use tracing::{Span, field::Empty, info, info_span};

use super::Orders;
use crate::{
    domain::transition::Transition,
    metrics::{self, Units},
    store::{
        self,
        orders::Due,
        reservations::{self, Fate},
    },
};

/// The name of the transaction.
const NAME: &str = "expire_orders";

/// An order that was cancelled, in its span.
struct Expired {
    change: (Transition, Span),
    /// How long after its deadline, in seconds.
    lag: f64,
}

impl Orders {
    /// Cancels orders whose payment deadline has passed, the longest overdue first and at most `limit` of them, and
    /// passes over those that somebody else is about to change. Answers how many.
    pub async fn expire(&self, limit: usize) -> Result<usize, Failure> {
        let (expired, units) = retrying(NAME, || self.expire_once(limit)).await?;
        if expired.is_empty() {
            return Ok(0);
        }
        self.committed(expired.iter().map(|expired| &expired.change.0), Units::Freed(units));
        for Expired { change: (_, span), lag } in &expired {
            metrics::EXPIRY_LAG_SECONDS.observe(*lag);
            span.in_scope(|| info!("an unpaid order is cancelled"));
        }
        Ok(expired.len())
    }

    /// How long until the next order expires; `None` while none awaits payment.
    pub async fn next_expiry(&self) -> Result<Option<Duration>, Failure> {
        let next = store::orders::next_deadline(&self.database).await?;
        Ok(next.value.map(|deadline| (deadline - next.now).to_std().unwrap_or_default()))
    }

    async fn expire_once(&self, limit: usize) -> Result<(Vec<Expired>, u64), Failure> {
        let mut transaction = self.database.begin(NAME).await?;
        let Some(due) = store::orders::lock_due(&mut transaction, limit).await? else { return Ok((Vec::new(), 0)) };
        let transitions: Option<Vec<_>> = due.value.iter().map(|found| found.order.expire(due.now)).collect();
        let transitions = transitions.ok_or_else(|| Failure::unforeseen("orders that are due can expire"))?;
        let changes: Vec<_> = std::iter::zip(transitions, due.value.iter().map(span)).collect();
        let written = write(transaction, &changes).await;
        let units = written.inspect_err(|failure| {
            for (_, span) in &changes {
                trace::fail(span, failure.kind());
            }
        })?;
        let lag = |found: &Due| (due.now - found.order.pay_before).as_seconds_f64();
        let expired = std::iter::zip(changes, &due.value).map(|(change, found)| Expired { change, lag: lag(found) });
        Ok((expired.collect(), units))
    }
}

/// Makes the changes durable. Answers how many units they freed.
async fn write(mut transaction: Transaction, changes: &[(Transition, Span)]) -> Result<u64, Failure> {
    let orders: Vec<OrderId> = changes.iter().map(|(transition, _)| transition.order()).collect();
    let units = reservations::end(&mut transaction, &orders, Fate::Freed).await?;
    store::apply(&mut transaction, changes).await?;
    transaction.commit().await?;
    Ok(units)
}

/// The span of an order's end, in the trace of the step; it is linked to the trace in which the order began, minutes ago.
fn span(Due { order, traceparent }: &Due) -> Span {
    let span = info_span!("expire order", otel.status_code = Empty, "error.type" = Empty, order.id = order.id.get());
    trace::link(&span, traceparent.as_deref());
    span
}
