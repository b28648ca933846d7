//! The tables `orders` and `order_item`.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use platform::{
    failure::Failure,
    postgres::{Transaction, read},
};
use proto::{
    ids::{IdempotencyKey, OrderId, UserId},
    page::Position,
};
use sqlx::PgExecutor;

use super::numbers;
use crate::domain::{
    lines::Line,
    order::{NewOrder, Order, OrderDetails},
    plan::Shortage,
    status::{State, Status},
};

/// What a call for an order finds.
#[derive(Debug, Clone)]
pub enum Found {
    /// Its key names this order, which has these lines.
    Known(Order, Vec<Line>),
    /// The order that it can become.
    New(NewOrder),
}

/// Finds the orders that the keys of users name already, each with its lines, and gives numbers to the others. Answers in
/// the order of the calls.
pub async fn find(
    transaction: &mut Transaction,
    calls: &[(UserId, Option<&IdempotencyKey>)],
    payment_timeout: Duration,
) -> Result<Vec<Found>, Failure> {
    let users: Vec<i64> = calls.iter().map(|(user, _)| user.get()).collect();
    let keys: Vec<Option<&str>> = calls.iter().map(|(_, key)| key.map(IdempotencyKey::as_str)).collect();
    let rows = sqlx::query!(
        r#"
        /* find_orders */
        SELECT id AS "id?", status AS "status?", created_at AS "created_at?", known.pay_before AS "known_pay_before?",
               failed_sku AS "failed_sku?", failed_requested AS "failed_requested?",
               failed_available AS "failed_available?", skus AS "skus?", counts AS "counts?",
               CASE WHEN id IS NULL THEN nextval(pg_get_serial_sequence('orders', 'id')) END AS new_id,
               now() + make_interval(secs => $3) AS "pay_before!"
        FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS call (user_id, key, position)
        LEFT JOIN LATERAL (
            SELECT orders.*,
                   ARRAY(SELECT sku FROM order_item WHERE order_id = orders.id ORDER BY sku) AS skus,
                   ARRAY(SELECT count FROM order_item WHERE order_id = orders.id ORDER BY sku) AS counts
            FROM orders
            WHERE orders.user_id = call.user_id AND orders.idempotency_key = call.key
        ) AS known ON true
        ORDER BY position
        "#,
        &users,
        &keys as &[Option<&str>],
        payment_timeout.as_secs_f64(),
    )
    .fetch_all(&mut *transaction)
    .await?;
    rows.into_iter()
        .map(|row| {
            if let Some(id) = row.new_id {
                return Ok(Found::New(NewOrder { id: read(id)?, pay_before: row.pay_before }));
            }
            let (Some(id), Some(status), Some(created_at), Some(pay_before), Some(skus), Some(counts)) =
                (row.id, row.status, row.created_at, row.known_pay_before, row.skus, row.counts)
            else {
                return Err(Failure::unforeseen("an order is known or gets a number"));
            };
            let failed = (row.failed_sku, row.failed_requested, row.failed_available);
            let order = order(id, &status, (created_at, pay_before), failed)?;
            Ok(Found::Known(order, lines(&skus, &counts)?))
        })
        .collect()
}

/// Lines from columns of SKUs and counts.
pub(super) fn lines(skus: &[i64], counts: &[i32]) -> Result<Vec<Line>, Failure> {
    std::iter::zip(skus, counts).map(|(sku, count)| Ok(Line { sku: read(*sku)?, count: read(*count)? })).collect()
}

/// An order that is locked, together with the stock that it has reserved.
#[derive(Debug, Clone)]
pub struct LockedOrder {
    pub order: Order,
    /// The units that it has reserved; `None` if it has no reservations.
    pub units: Option<u64>,
    /// The trace context of its creation.
    pub traceparent: Option<String>,
    /// The database's time after it was locked.
    pub now: DateTime<Utc>,
}

/// Locks orders until the end of the transaction, together with the stock that they have reserved. An order that others
/// hold, or of whose stock they hold some, is `None`. An order that does not exist is not in the answer.
pub async fn lock(
    transaction: &mut Transaction,
    orders: &[OrderId],
) -> Result<HashMap<OrderId, Option<LockedOrder>>, Failure> {
    // The lock shows the latest status. Reservations are those of the snapshot: as long as an order awaits payment, it has
    // the same in every snapshot.
    let rows = sqlx::query!(
        r#"
        /* lock_orders */
        WITH locked AS MATERIALIZED (
            SELECT * FROM orders WHERE id = ANY ($1) ORDER BY id FOR UPDATE SKIP LOCKED
        ), reserved AS MATERIALIZED (
            SELECT order_id, sku, warehouse_id, count FROM reservation WHERE order_id = ANY ($1)
        ), shelf AS MATERIALIZED (
            SELECT locked.sku, locked.warehouse_id
            FROM (SELECT DISTINCT sku, warehouse_id FROM reserved ORDER BY sku, warehouse_id) AS wanted
            CROSS JOIN LATERAL (
                SELECT sku, warehouse_id
                FROM stock
                WHERE sku = wanted.sku AND warehouse_id = wanted.warehouse_id
                FOR UPDATE SKIP LOCKED
            ) AS locked
        ), held AS (
            SELECT order_id, sum(count) AS units, bool_and(shelf.sku IS NOT NULL) AS is_locked
            FROM reserved
            LEFT JOIN shelf USING (sku, warehouse_id)
            GROUP BY order_id
        )
        SELECT orders.id AS "id!", locked.status AS "status?", locked.created_at AS "created_at?",
               locked.pay_before AS "pay_before?", locked.failed_sku AS "failed_sku?",
               locked.failed_requested AS "failed_requested?", locked.failed_available AS "failed_available?",
               locked.traceparent AS "traceparent?", held.units AS "units?",
               coalesce(held.is_locked, true) AS "is_stock_locked!", clock_timestamp() AS "now!"
        FROM orders
        LEFT JOIN locked USING (id)
        LEFT JOIN held ON held.order_id = orders.id
        WHERE orders.id = ANY ($1)
        "#,
        &numbers(orders),
    )
    .fetch_all(&mut *transaction)
    .await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        let locked = match (row.status, row.created_at, row.pay_before) {
            (Some(status), Some(created_at), Some(pay_before)) if row.is_stock_locked => {
                let failed = (row.failed_sku, row.failed_requested, row.failed_available);
                let order = order(row.id, &status, (created_at, pay_before), failed)?;
                let units = row.units.map(read).transpose()?;
                Some(LockedOrder { order, units, traceparent: row.traceparent, now: row.now })
            }
            _ => None,
        };
        found.insert(read(row.id)?, locked);
    }
    Ok(found)
}

/// Those of the orders that there are, with everything that their customers ask about.
pub async fn details(on: impl PgExecutor<'_>, orders: &[OrderId]) -> Result<Vec<OrderDetails>, Failure> {
    let rows = sqlx::query!(
        r#"
        /* order_details */
        SELECT id, user_id, status, created_at, pay_before, failed_sku, failed_requested, failed_available,
               ARRAY(SELECT sku FROM order_item WHERE order_id = orders.id ORDER BY sku) AS "skus!",
               ARRAY(SELECT count FROM order_item WHERE order_id = orders.id ORDER BY sku) AS "counts!"
        FROM orders
        WHERE id = ANY ($1)
        "#,
        &numbers(orders),
    )
    .fetch_all(on)
    .await?;
    rows.into_iter()
        .map(|row| {
            let (user, lines) = (read(row.user_id)?, lines(&row.skus, &row.counts)?);
            let failed = (row.failed_sku, row.failed_requested, row.failed_available);
            let order = order(row.id, &row.status, (row.created_at, row.pay_before), failed)?;
            Ok(OrderDetails { order, user, lines })
        })
        .collect()
}

/// A user's orders, newest first, those before a position if there is one; and whether there are more than `size`.
pub async fn page(
    on: impl PgExecutor<'_>,
    user: UserId,
    before: Option<Position>,
    size: u32,
) -> Result<(Vec<OrderDetails>, bool), Failure> {
    // That users are above 0 is said because the index has it.
    let rows = sqlx::query!(
        r#"
        /* list_orders */
        SELECT id, status, created_at, pay_before, failed_sku, failed_requested, failed_available,
               ARRAY(SELECT sku FROM order_item WHERE order_id = orders.id ORDER BY sku) AS "skus!",
               ARRAY(SELECT count FROM order_item WHERE order_id = orders.id ORDER BY sku) AS "counts!"
        FROM orders
        WHERE user_id = $1 AND user_id > 0
            AND (created_at, id) < (coalesce($2, 'infinity'::timestamptz), coalesce($3, 9223372036854775807))
        ORDER BY created_at DESC, id DESC
        LIMIT $4::bigint + 1
        "#,
        user.get(),
        before.map(|position| position.at),
        before.map(|position| position.id),
        i64::from(size),
    )
    .fetch_all(on)
    .await?;
    let size = usize::try_from(size).map_err(Failure::unforeseen)?;
    let more = rows.len() > size;
    let orders = rows.into_iter().take(size).map(|row| {
        let failed = (row.failed_sku, row.failed_requested, row.failed_available);
        let order = order(row.id, &row.status, (row.created_at, row.pay_before), failed)?;
        Ok(OrderDetails { order, user, lines: lines(&row.skus, &row.counts)? })
    });
    Ok((orders.collect::<Result<_, Failure>>()?, more))
}

/// An order from columns: the moments of its creation and of its payment deadline; what was short, if it failed.
pub(super) fn order(
    id: i64,
    status: &str,
    (created_at, pay_before): (DateTime<Utc>, DateTime<Utc>),
    failed: (Option<i64>, Option<i32>, Option<i64>),
) -> Result<Order, Failure> {
    let state = match status.parse().map_err(Failure::unforeseen)? {
        Status::New => State::New,
        Status::AwaitingPayment => State::AwaitingPayment,
        Status::Failed => {
            let (Some(sku), Some(requested), Some(available)) = failed else {
                return Err(Failure::unforeseen("a failed order says what was short"));
            };
            State::Failed(Shortage { sku: read(sku)?, requested: read(requested)?, available: read(available)? })
        }
        Status::Paid => State::Paid,
        Status::Cancelled => State::Cancelled,
    };
    Ok(Order { id: read(id)?, created_at, pay_before, state })
}
