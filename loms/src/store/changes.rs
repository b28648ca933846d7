//! The two ways in which an order's status changes. With it change its reservations, the stock that they are the sum of,
//! and the outbox: all in one statement, for many orders at once.

use std::fmt::Debug;

use chrono::{DateTime, Utc};
use platform::{failure::Failure, postgres::Transaction, telemetry::trace};
use proto::ids::{Count, IdempotencyKey, OrderId, Sku, UserId};
use tracing::Span;

use crate::domain::{
    lines::Lines,
    order::NewOrder,
    plan::{Reservation, Shortage},
    status::State,
    transition::Transition,
};

/// A transition, and the span in which it is made, whose trace its events continue.
#[derive(Debug, Clone)]
pub struct Change {
    pub transition: Transition,
    pub span: Span,
}

/// A new order with its first transition.
#[derive(Debug, Clone)]
pub struct CreatedOrder<'a> {
    pub new: NewOrder,
    pub user: UserId,
    pub key: Option<&'a IdempotencyKey>,
    pub lines: &'a Lines,
    /// None for an order that failed.
    pub reservations: Vec<Reservation>,
    pub change: Change,
}

/// The events of changes, as columns.
#[derive(Debug, Default)]
struct Events {
    orders: Vec<i64>,
    statuses: Vec<String>,
    messages: Vec<String>,
    traceparents: Vec<Option<String>>,
}

impl Events {
    /// Each change has its trace context beside it.
    fn of<'a>(changes: impl Iterator<Item = &'a Change>, traceparents: &[Option<String>]) -> Self {
        let mut events = Self::default();
        for (Change { transition, .. }, traceparent) in changes.zip(traceparents) {
            for event in transition.events() {
                events.orders.push(transition.order().get());
                events.statuses.push(event.status().to_string());
                events.messages.push(event.message().to_owned());
                events.traceparents.push(traceparent.clone());
            }
        }
        events
    }
}

fn traceparents<'a>(changes: impl Iterator<Item = &'a Change>) -> Vec<Option<String>> {
    changes.map(|change| trace::traceparent(&change.span)).collect()
}

/// Writes new orders in the status that they have taken. The stock that they reserve must be locked by
/// [`stock::lock_free`](super::stock::lock_free). Waits for a transaction that is about to write an order of the same key,
/// which then has other lines.
///
/// Fails, and with it the transaction, if another one has written an order of the same key since they were found.
pub async fn create(transaction: &mut Transaction, orders: &[CreatedOrder<'_>]) -> Result<(), Failure> {
    let ids: Vec<i64> = orders.iter().map(|order| order.new.id.get()).collect();
    let users: Vec<i64> = orders.iter().map(|order| order.user.get()).collect();
    let keys: Vec<Option<&str>> = orders.iter().map(|order| order.key.map(IdempotencyKey::as_str)).collect();
    let deadlines: Vec<DateTime<Utc>> = orders.iter().map(|order| order.new.pay_before).collect();
    let states: Vec<&State> = orders.iter().map(|order| order.change.transition.to()).collect();
    let traceparents = traceparents(orders.iter().map(|order| &order.change));
    let statuses: Vec<String> = states.iter().map(|state| state.status().to_string()).collect();
    let shortages: Vec<Option<Shortage>> = states.iter().map(|state| state.shortage()).collect();
    let failed_skus: Vec<Option<i64>> = column(&shortages, |shortage| i64::from(shortage.sku));
    let failed_requested: Vec<Option<i32>> = column(&shortages, |shortage| shortage.requested.get().cast_signed());
    let failed_available: Vec<Option<i64>> = column(&shortages, |shortage| shortage.available.cast_signed());
    let items = orders.iter().flat_map(|order| order.lines.iter().map(|line| (order.new.id, line)));
    let (item_orders, item_skus, item_counts) = columns(items.map(|(order, line)| (order, line.sku, line.count)));
    let reservations = || orders.iter().flat_map(|order| order.reservations.iter().map(|taken| (order.new.id, taken)));
    let (reservation_orders, reservation_skus, reservation_counts) =
        columns(reservations().map(|(order, taken)| (order, taken.sku, taken.count)));
    let reservation_warehouses: Vec<i64> = reservations().map(|(_, taken)| taken.warehouse.get()).collect();
    let units: i64 = reservation_counts.iter().copied().map(i64::from).sum();
    let events = Events::of(orders.iter().map(|order| &order.change), &traceparents);
    let written = sqlx::query!(
        r#"
        /* create_orders */
        WITH created AS (
            INSERT INTO orders (id, user_id, idempotency_key, pay_before, status, failed_sku, failed_requested,
                                failed_available, traceparent, created_at)
            OVERRIDING SYSTEM VALUE
            SELECT id, user_id, key, pay_before, status, failed_sku, failed_requested, failed_available, traceparent, now()
            FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::timestamptz[], $5::text[], $6::bigint[],
                        $7::integer[], $8::bigint[], $9::text[])
                AS new (id, user_id, key, pay_before, status, failed_sku, failed_requested, failed_available, traceparent)
            -- All in the same order, so that nobody waits in a circle.
            ORDER BY user_id, key
            ON CONFLICT ON CONSTRAINT orders_idempotency_key DO NOTHING
            RETURNING id, user_id, created_at
        ), items AS (
            INSERT INTO order_item (order_id, sku, count)
            SELECT item.order_id, item.sku, item.count
            FROM unnest($10::bigint[], $11::bigint[], $12::integer[]) AS item (order_id, sku, count)
            JOIN created ON created.id = item.order_id
        ), plan AS (
            SELECT plan.*
            FROM unnest($13::bigint[], $14::bigint[], $15::bigint[], $16::integer[])
                AS plan (order_id, sku, warehouse_id, count)
            JOIN created ON created.id = plan.order_id
        ), reserved AS (
            INSERT INTO reservation (order_id, sku, warehouse_id, count)
            SELECT order_id, sku, warehouse_id, count FROM plan
        ), raised AS (
            UPDATE stock
            SET reserved = stock.reserved + total.count
            FROM (SELECT sku, warehouse_id, sum(count)::integer AS count FROM plan GROUP BY sku, warehouse_id) AS total
            WHERE stock.sku = total.sku AND stock.warehouse_id = total.warehouse_id
            RETURNING total.count
        ), told AS (
            INSERT INTO outbox (order_id, user_id, status, message, traceparent, occurred_at)
            SELECT created.id, created.user_id, event.status, event.message, event.traceparent,
                   CASE event.status WHEN 'new' THEN created.created_at ELSE clock_timestamp() END
            FROM unnest($17::bigint[], $18::text[], $19::text[], $20::text[])
                WITH ORDINALITY AS event (order_id, status, message, traceparent, position)
            JOIN created ON created.id = event.order_id
            ORDER BY event.position
        )
        SELECT (SELECT count(*) FROM created) AS "orders!", (SELECT coalesce(sum(count), 0) FROM raised) AS "units!"
        "#,
        &ids,
        &users,
        &keys as &[Option<&str>],
        &deadlines,
        &statuses,
        &failed_skus as &[Option<i64>],
        &failed_requested as &[Option<i32>],
        &failed_available as &[Option<i64>],
        &traceparents as &[Option<String>],
        &item_orders,
        &item_skus,
        &item_counts,
        &reservation_orders,
        &reservation_skus,
        &reservation_warehouses,
        &reservation_counts,
        &events.orders,
        &events.statuses,
        &events.messages,
        &events.traceparents as &[Option<String>],
    )
    .fetch_one(&mut *transaction)
    .await?;
    if usize::try_from(written.orders) != Ok(orders.len()) {
        return Err(Failure::contention("another order of the same key was written meanwhile"));
    }
    expect("units", units, written.units)
}

/// Changes the status of orders, at most once each, ends their reservations, and tells of it. The orders must await
/// payment and be locked by [`orders::lock`](super::orders::lock). Units of a paid order leave the stock, others are free
/// again.
pub async fn apply(transaction: &mut Transaction, changes: &[Change], units: u64) -> Result<(), Failure> {
    let orders: Vec<i64> = changes.iter().map(|change| change.transition.order().get()).collect();
    let from: Vec<String> = changes.iter().map(|change| change.transition.from().to_string()).collect();
    let to: Vec<String> = changes.iter().map(|change| change.transition.to().status().to_string()).collect();
    let events = Events::of(changes.iter(), &traceparents(changes.iter()));
    let written = sqlx::query!(
        r#"
        /* apply */
        WITH changed AS (
            UPDATE orders
            SET status = change.to_status
            FROM unnest($1::bigint[], $2::text[], $3::text[]) AS change (order_id, from_status, to_status)
            WHERE orders.id = change.order_id AND orders.status = change.from_status
            RETURNING orders.id, orders.user_id, orders.status
        ), ended AS (
            DELETE FROM reservation
            USING changed
            WHERE reservation.order_id = changed.id
            RETURNING reservation.sku, reservation.warehouse_id, reservation.count,
                      CASE changed.status WHEN 'paid' THEN reservation.count ELSE 0 END AS sold
        ), lowered AS (
            UPDATE stock
            SET reserved = stock.reserved - total.count, on_hand = stock.on_hand - total.sold
            FROM (
                SELECT sku, warehouse_id, sum(count)::integer AS count, sum(sold)::integer AS sold
                FROM ended
                GROUP BY sku, warehouse_id
            ) AS total
            WHERE stock.sku = total.sku AND stock.warehouse_id = total.warehouse_id
            RETURNING total.count
        ), told AS (
            INSERT INTO outbox (order_id, user_id, status, message, traceparent, occurred_at)
            SELECT changed.id, changed.user_id, event.status, event.message, event.traceparent, clock_timestamp()
            FROM unnest($4::bigint[], $5::text[], $6::text[], $7::text[])
                WITH ORDINALITY AS event (order_id, status, message, traceparent, position)
            JOIN changed ON changed.id = event.order_id
            ORDER BY event.position
        )
        SELECT (SELECT count(*) FROM changed) AS "orders!", (SELECT coalesce(sum(count), 0) FROM lowered) AS "units!"
        "#,
        &orders,
        &from,
        &to,
        &events.orders,
        &events.statuses,
        &events.messages,
        &events.traceparents as &[Option<String>],
    )
    .fetch_one(&mut *transaction)
    .await?;
    expect("orders", changes.len(), written.orders)?;
    expect("units", units, written.units)
}

fn expect<E: TryInto<i64> + Copy + Debug>(what: &str, expected: E, written: i64) -> Result<(), Failure> {
    if expected.try_into().ok() == Some(written) {
        return Ok(());
    }
    Err(Failure::unforeseen(format!("{expected:?} {what} were to change, and {written} did")))
}

/// Numbers, SKUs and counts of rows as columns.
fn columns(rows: impl Iterator<Item = (OrderId, Sku, Count)>) -> (Vec<i64>, Vec<i64>, Vec<i32>) {
    rows.map(|(order, sku, count)| (order.get(), i64::from(sku), count.get().cast_signed())).collect()
}

fn column<T>(shortages: &[Option<Shortage>], value: impl Fn(&Shortage) -> T) -> Vec<Option<T>> {
    shortages.iter().map(|shortage| shortage.as_ref().map(&value)).collect()
}
