//! The tables `orders` and `order_item`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use platform::{
    failure::Failure,
    postgres::{MAX_COUNTED, Transaction, read},
    telemetry::trace,
};
use proto::ids::{IdempotencyKey, OrderId, UserId};
use sqlx::PgExecutor;
use tracing::Span;

use super::Backlog;
use crate::domain::{
    lines::{Line, Lines},
    order::{NewOrder, Order, OrderDetails},
    plan::Shortage,
    status::{State, Status},
};

/// The columns of an order, out of a row that has others too.
macro_rules! order {
    ($row:ident) => {
        OrderRow {
            id: $row.id,
            status: $row.status,
            created_at: $row.created_at,
            pay_before: $row.pay_before,
            failed_sku: $row.failed_sku,
            failed_requested: $row.failed_requested,
            failed_available: $row.failed_available,
        }
    };
}

/// Writes a new order with its lines; `None` if the user has an order of this key already.
///
/// Waits for another transaction that is about to write an order of the same key.
pub async fn insert(
    transaction: &mut Transaction,
    user: UserId,
    key: Option<&IdempotencyKey>,
    lines: &Lines,
    payment_timeout: Duration,
) -> Result<Option<NewOrder>, Failure> {
    let skus: Vec<i64> = lines.iter().map(|line| line.sku.into()).collect();
    let counts: Vec<i32> = lines.iter().map(|line| line.count.get().cast_signed()).collect();
    let row = sqlx::query!(
        r#"
        /* insert_order */
        WITH created AS (
            INSERT INTO orders (user_id, idempotency_key, created_at, pay_before, traceparent)
            VALUES ($1, $2, now(), now() + make_interval(secs => $3), $6)
            ON CONFLICT ON CONSTRAINT orders_idempotency_key DO NOTHING
            RETURNING id, pay_before
        ), items AS (
            INSERT INTO order_item (order_id, sku, count)
            SELECT created.id, item.sku, item.count
            FROM created, unnest($4::bigint[], $5::integer[]) AS item (sku, count)
        )
        SELECT id, pay_before FROM created
        "#,
        user.get(),
        key.map(IdempotencyKey::as_str),
        payment_timeout.as_secs_f64(),
        &skus,
        &counts,
        trace::traceparent(&Span::current()),
    )
    .fetch_optional(&mut *transaction)
    .await?;
    row.map(|row| Ok(NewOrder { id: read(row.id)?, pay_before: row.pay_before })).transpose()
}

/// The order that a user's key names already, and its lines by SKU.
pub async fn by_key(
    transaction: &mut Transaction,
    user: UserId,
    key: &IdempotencyKey,
) -> Result<Option<(Order, Vec<Line>)>, Failure> {
    let row = sqlx::query!(
        r#"
        /* order_by_key */
        SELECT id, status, created_at, pay_before, failed_sku, failed_requested, failed_available,
               ARRAY(SELECT sku FROM order_item WHERE order_id = orders.id ORDER BY sku) AS "skus!",
               ARRAY(SELECT count FROM order_item WHERE order_id = orders.id ORDER BY sku) AS "counts!"
        FROM orders
        WHERE user_id = $1 AND idempotency_key = $2
        "#,
        user.get(),
        key.as_str(),
    )
    .fetch_optional(&mut *transaction)
    .await?;
    row.map(|row| {
        let lines = lines(&row.skus, &row.counts)?;
        Ok((order!(row).try_into()?, lines))
    })
    .transpose()
}

/// Lines from columns of SKUs and counts.
fn lines(skus: &[i64], counts: &[i32]) -> Result<Vec<Line>, Failure> {
    std::iter::zip(skus, counts).map(|(sku, count)| Ok(Line { sku: read(*sku)?, count: read(*count)? })).collect()
}

/// Locks an order until the end of the transaction, and reads it and the clock once nobody else holds the lock.
pub async fn lock(transaction: &mut Transaction, order: OrderId) -> Result<Option<(Order, DateTime<Utc>)>, Failure> {
    let row = sqlx::query!(
        r#"
        /* lock_order */
        WITH locked AS MATERIALIZED (
            SELECT id, status, created_at, pay_before, failed_sku, failed_requested, failed_available
            FROM orders
            WHERE id = $1
            FOR UPDATE
        )
        SELECT locked.*, clock_timestamp() AS "now!" FROM locked
        "#,
        order.get(),
    )
    .fetch_optional(&mut *transaction)
    .await?;
    row.map(|row| {
        let now = row.now;
        Ok((order!(row).try_into()?, now))
    })
    .transpose()
}

/// An order whose payment deadline has passed.
#[derive(Debug, Clone)]
pub struct DueOrder {
    pub order: Order,
    /// The trace context of its creation.
    pub traceparent: Option<String>,
    /// When that was found.
    pub now: DateTime<Utc>,
}

/// The orders whose payment deadline has passed, earliest deadline first, but for those in `except` and those that
/// others hold.
pub async fn due(on: impl PgExecutor<'_>, limit: usize, except: &[i64]) -> Result<Vec<OrderId>, Failure> {
    let limit = i64::try_from(limit).map_err(Failure::unforeseen)?;
    let orders = sqlx::query_scalar!(
        r#"
        /* due_orders */
        SELECT id FROM orders
        WHERE status = 'awaiting payment' AND pay_before <= now() AND id <> ALL ($2)
        ORDER BY pay_before
        LIMIT $1
        FOR KEY SHARE SKIP LOCKED
        "#,
        limit,
        except,
    )
    .fetch_all(on)
    .await?;
    orders.into_iter().map(read).collect()
}

/// Locks those of the orders whose payment deadline has passed, by number, passing over those that others hold.
pub async fn lock_due(transaction: &mut Transaction, orders: &[OrderId]) -> Result<Vec<DueOrder>, Failure> {
    let orders: Vec<i64> = orders.iter().map(|order| order.get()).collect();
    let rows = sqlx::query!(
        r#"
        /* lock_due_orders */
        SELECT id, status, created_at, pay_before, failed_sku, failed_requested, failed_available, traceparent,
               now() AS "now!"
        FROM orders
        WHERE id = ANY ($1) AND status = 'awaiting payment' AND pay_before <= now()
        ORDER BY id
        FOR UPDATE SKIP LOCKED
        "#,
        &orders,
    )
    .fetch_all(&mut *transaction)
    .await?;
    rows.into_iter()
        .map(|row| Ok(DueOrder { order: order!(row).try_into()?, traceparent: row.traceparent, now: row.now }))
        .collect()
}

/// Measures the orders that should be cancelled already, but for those in `except`; up to [`MAX_COUNTED`].
pub async fn overdue(on: impl PgExecutor<'_>, except: &[i64]) -> Result<Backlog, Failure> {
    let backlog = sqlx::query_as!(
        Backlog,
        r#"
        /* overdue_orders */
        SELECT count(*) AS "count!",
               greatest(floor(extract(epoch FROM clock_timestamp() - min(pay_before))), 0)::bigint AS "oldest_seconds!"
        FROM (
            SELECT pay_before FROM orders
            WHERE status = 'awaiting payment' AND pay_before <= now() AND id <> ALL ($1)
            ORDER BY pay_before
            LIMIT $2
        ) AS overdue
        "#,
        except,
        MAX_COUNTED,
    )
    .fetch_one(on)
    .await?;
    Ok(backlog)
}

/// How long until the earliest payment deadline of all orders that await payment, but for those in `except`; `None` if
/// there are none.
pub async fn next_deadline(on: impl PgExecutor<'_>, except: &[i64]) -> Result<Option<Duration>, Failure> {
    let seconds = sqlx::query_scalar!(
        r#"
        /* next_deadline */
        SELECT extract(epoch FROM min(pay_before) - clock_timestamp())::float8
        FROM orders
        WHERE status = 'awaiting payment' AND id <> ALL ($1)
        "#,
        except,
    )
    .fetch_one(on)
    .await?;
    Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
}

/// An order with everything that its customer asks about.
pub async fn details(on: impl PgExecutor<'_>, order: OrderId) -> Result<Option<OrderDetails>, Failure> {
    let row = sqlx::query!(
        r#"
        /* order_details */
        SELECT id, user_id, status, created_at, pay_before, failed_sku, failed_requested, failed_available,
               ARRAY(SELECT sku FROM order_item WHERE order_id = orders.id ORDER BY sku) AS "skus!",
               ARRAY(SELECT count FROM order_item WHERE order_id = orders.id ORDER BY sku) AS "counts!"
        FROM orders
        WHERE id = $1
        "#,
        order.get(),
    )
    .fetch_optional(on)
    .await?;
    row.map(|row| {
        let (user, lines) = (read(row.user_id)?, lines(&row.skus, &row.counts)?);
        Ok(OrderDetails { order: order!(row).try_into()?, user, lines })
    })
    .transpose()
}

struct OrderRow {
    id: i64,
    status: String,
    created_at: DateTime<Utc>,
    pay_before: DateTime<Utc>,
    failed_sku: Option<i64>,
    failed_requested: Option<i32>,
    failed_available: Option<i64>,
}

impl TryFrom<OrderRow> for Order {
    type Error = Failure;

    fn try_from(row: OrderRow) -> Result<Self, Failure> {
        let state = match row.status.parse().map_err(Failure::unforeseen)? {
            Status::New => State::New,
            Status::AwaitingPayment => State::AwaitingPayment,
            Status::Failed => State::Failed(row.shortage()?),
            Status::Paid => State::Paid,
            Status::Cancelled => State::Cancelled,
        };
        Ok(Self { id: read(row.id)?, created_at: row.created_at, pay_before: row.pay_before, state })
    }
}

impl OrderRow {
    fn shortage(&self) -> Result<Shortage, Failure> {
        let (Some(sku), Some(requested), Some(available)) =
            (self.failed_sku, self.failed_requested, self.failed_available)
        else {
            return Err(Failure::unforeseen("a failed order says what was short"));
        };
        Ok(Shortage { sku: read(sku)?, requested: read(requested)?, available: read(available)? })
    }
}
