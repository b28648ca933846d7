//! The one way in which an order's status changes.

use platform::{
    failure::Failure,
    postgres::{Transaction, expect_rows},
    telemetry::trace,
};
use tracing::Span;

use crate::domain::{
    plan::Shortage,
    transition::{Announcement, Transition},
};

/// A transition, and the span in which it is made, whose trace its events continue.
#[derive(Debug, Clone)]
pub struct Change {
    pub transition: Transition,
    pub span: Span,
}

impl Change {
    /// A transition that is made in the current span.
    pub fn new(transition: Transition) -> Self {
        Self { transition, span: Span::current() }
    }
}

/// Changes the status of orders, at most once each, and writes the events of the changes into the outbox.
///
/// Fails, and with it the transaction, if any of the orders does not have the status that its transition leaves.
pub async fn apply(transaction: &mut Transaction, changes: &[Change]) -> Result<(), Failure> {
    let (transitions, traceparents): (Vec<&Transition>, Vec<Option<String>>) =
        changes.iter().map(|change| (&change.transition, trace::traceparent(&change.span))).unzip();
    let orders: Vec<i64> = transitions.iter().map(|change| change.order().get()).collect();
    let from: Vec<String> = transitions.iter().map(|change| change.from().to_string()).collect();
    let to: Vec<String> = transitions.iter().map(|change| change.to().status().to_string()).collect();
    let shortages: Vec<Option<Shortage>> = transitions.iter().map(|change| change.to().shortage()).collect();
    let failed_skus: Vec<Option<i64>> = column(&shortages, |shortage| i64::from(shortage.sku));
    let failed_requested: Vec<Option<i32>> = column(&shortages, |shortage| shortage.requested.get().cast_signed());
    let failed_available: Vec<Option<i64>> = column(&shortages, |shortage| shortage.available.cast_signed());

    let events: Vec<(i64, &Announcement)> = transitions
        .iter()
        .flat_map(|change| change.events().iter().map(|event| (change.order().get(), event)))
        .collect();
    let event_orders: Vec<i64> = events.iter().map(|(order, _)| *order).collect();
    let event_statuses: Vec<String> = events.iter().map(|(_, event)| event.status().to_string()).collect();
    let event_messages: Vec<String> = events.iter().map(|(_, event)| event.message().to_owned()).collect();

    // A transition whose order has another status changes no row, so that its events are missing in the count. An
    // order is new from its creation on, and takes every other status now.
    let written = sqlx::query!(
        r#"
        /* apply */
        WITH changed AS (
            UPDATE orders
            SET status = change.to_status,
                failed_sku = change.failed_sku,
                failed_requested = change.failed_requested,
                failed_available = change.failed_available
            FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::integer[], $6::bigint[], $10::text[])
                AS change (order_id, from_status, to_status, failed_sku, failed_requested, failed_available, traceparent)
            WHERE orders.id = change.order_id AND orders.status = change.from_status
            RETURNING orders.id, orders.user_id, orders.created_at, change.traceparent
        )
        INSERT INTO outbox (order_id, user_id, status, message, traceparent, occurred_at)
        SELECT changed.id, changed.user_id, event.status, event.message, changed.traceparent,
               CASE event.status WHEN 'new' THEN changed.created_at ELSE clock_timestamp() END
        FROM unnest($7::bigint[], $8::text[], $9::text[])
            WITH ORDINALITY AS event (order_id, status, message, position)
        JOIN changed ON changed.id = event.order_id
        ORDER BY event.position
        "#,
        &orders,
        &from,
        &to,
        &failed_skus as &[Option<i64>],
        &failed_requested as &[Option<i32>],
        &failed_available as &[Option<i64>],
        &event_orders,
        &event_statuses,
        &event_messages,
        &traceparents as &[Option<String>],
    )
    .execute(&mut *transaction)
    .await?;
    expect_rows("apply", events.len(), &written)
}

fn column<T>(shortages: &[Option<Shortage>], value: impl Fn(&Shortage) -> T) -> Vec<Option<T>> {
    shortages.iter().map(|shortage| shortage.as_ref().map(&value)).collect()
}
