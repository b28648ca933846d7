//! The tables `purchase` and `purchase_item`.

use std::time::Duration;

use platform::{
    failure::Failure,
    postgres::{MAX_COUNTED, expect_rows, read},
    telemetry::trace,
};
use proto::{
    ids::{IdempotencyKey, OrderId, UserId},
    refusal::Refusal,
};
use sqlx::{PgExecutor, types::Json};
use tracing::Span;
use uuid::Uuid;

use super::{UserTransaction, lines};
use crate::domain::{
    Line,
    purchase::{Outcome, Pending, Purchase, PurchaseId},
};

/// For how long a call without a key on an empty cart is taken for the repetition of one that was never answered.
const UNTOLD_FOR: Duration = Duration::from_secs(10 * 60);

/// A purchase to take up.
#[derive(Debug, Clone)]
pub struct DuePurchase {
    pub purchase: Pending,
    /// The trace of the call that began it.
    pub traceparent: Option<String>,
}

/// How many purchases are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    pub count: i64,
    /// For how long the oldest of them has been; 0 if there are none.
    pub oldest_seconds: i64,
}

struct PurchaseRow {
    id: Uuid,
    idempotency_key: Option<String>,
    order_id: Option<i64>,
    refusal: Option<Json<Refusal>>,
    skus: Vec<i64>,
    counts: Vec<i32>,
}

impl PurchaseRow {
    fn read(self, user: UserId) -> Result<Purchase, Failure> {
        match (self.order_id, self.refusal) {
            (Some(order), _) => Ok(Purchase::Settled(Outcome::Ordered(read(order)?))),
            (None, Some(Json(refusal))) => Ok(Purchase::Settled(Outcome::Refused(refusal))),
            (None, None) => {
                let (key, lines) = (key(self.idempotency_key)?, lines(std::iter::zip(self.skus, self.counts))?);
                Ok(Purchase::Pending(Pending { id: PurchaseId(self.id), user, key, lines }))
            }
        }
    }
}

fn key(text: Option<String>) -> Result<Option<IdempotencyKey>, Failure> {
    IdempotencyKey::parse(text.unwrap_or_default()).map_err(Failure::unforeseen)
}

/// Reads the purchase of a transaction's user that a condition finds.
macro_rules! find {
    ($transaction:ident, $name:literal, $condition:literal $(, $argument:expr)?) => {{
        let user = $transaction.user;
        let row = sqlx::query_as!(
            PurchaseRow,
            "/* " + $name + r#" */ SELECT id, idempotency_key, order_id, refusal AS "refusal: Json<Refusal>",
                ARRAY(SELECT sku FROM purchase_item WHERE purchase_id = purchase.id ORDER BY sku) AS "skus!",
                ARRAY(SELECT count FROM purchase_item WHERE purchase_id = purchase.id ORDER BY sku) AS "counts!"
            FROM purchase WHERE user_id = $1 AND "# + $condition,
            user.get(),
            $($argument)?
        )
        .fetch_optional(&mut **$transaction)
        .await?;
        row.map(|row| row.read(user)).transpose()
    }};
}

/// The user's purchase of that key.
pub async fn by_key(transaction: &mut UserTransaction, key: &IdempotencyKey) -> Result<Option<Purchase>, Failure> {
    find!(transaction, "purchase_of_key", "idempotency_key = $2", key.as_str())
}

/// The user's purchase of that name; `None` when it was abandoned.
pub async fn by_id(transaction: &mut UserTransaction, id: PurchaseId) -> Result<Option<Purchase>, Failure> {
    find!(transaction, "purchase", "id = $2", id.0)
}

/// The user's purchase that is under way.
pub async fn pending(transaction: &mut UserTransaction) -> Result<Option<Purchase>, Failure> {
    find!(transaction, "pending_purchase", "state = 'pending'")
}

/// The lines that the user's pending purchase has set aside, by SKU.
pub async fn set_aside(transaction: &mut UserTransaction) -> Result<Vec<Line>, Failure> {
    match pending(transaction).await? {
        Some(Purchase::Pending(pending)) => Ok(pending.lines),
        Some(Purchase::Settled(_)) | None => Ok(Vec::new()),
    }
}

/// The order that became of the user's latest purchase without a key, if that was of late and no caller was told.
pub async fn untold_order(transaction: &mut UserTransaction) -> Result<Option<(PurchaseId, OrderId)>, Failure> {
    let user = transaction.user.get();
    let row = sqlx::query!(
        r#"
        /* untold_order */
        SELECT id, order_id,
            answered OR settled_at < now() - make_interval(secs => $2) AS "is_over!" FROM purchase
        WHERE user_id = $1 AND idempotency_key IS NULL ORDER BY created_at DESC LIMIT 1
        "#,
        user,
        UNTOLD_FOR.as_secs_f64()
    )
    .fetch_optional(&mut **transaction)
    .await?;
    let Some(row) = row.filter(|row| !row.is_over) else { return Ok(None) };
    row.order_id.map(|order| Ok((PurchaseId(row.id), read(order)?))).transpose()
}

/// Notes that a caller was told the outcome.
pub async fn mark_answered(on: impl PgExecutor<'_>, id: PurchaseId) -> Result<(), Failure> {
    let marked =
        sqlx::query!("/* mark_answered */ UPDATE purchase SET answered = true WHERE id = $1", id.0).execute(on).await?;
    expect_rows("mark_answered", 1, &marked)
}

/// Moves all lines of the cart, which are those of `pending`, into it, and notes the trace that this happens in. The
/// background step leaves it alone for `resume_in`.
pub async fn begin(transaction: &mut UserTransaction, pending: &Pending, resume_in: Duration) -> Result<(), Failure> {
    let user = transaction.user.get();
    let inserted = sqlx::query!(
        r#"
        /* insert_purchase */
        INSERT INTO purchase (id, user_id, idempotency_key, resume_at, traceparent)
        VALUES ($1, $2, $3, clock_timestamp() + make_interval(secs => $4), $5)
        "#,
        pending.id.0,
        user,
        pending.key.as_ref().map(IdempotencyKey::as_str),
        resume_in.as_secs_f64(),
        trace::traceparent(&Span::current())
    )
    .execute(&mut **transaction)
    .await?;
    expect_rows("insert_purchase", 1, &inserted)?;
    let moved = sqlx::query!(
        r#"
        /* set_cart_aside */
        WITH taken AS (DELETE FROM cart_item WHERE user_id = $1 RETURNING sku, count)
        INSERT INTO purchase_item (purchase_id, sku, count) SELECT $2, sku, count FROM taken
        "#,
        user,
        pending.id.0
    )
    .execute(&mut **transaction)
    .await?;
    expect_rows("set_cart_aside", pending.lines.len(), &moved)
}

/// Writes the outcome of a pending purchase down, and puts the lines of a refused one back into the cart. Answers false,
/// and changes nothing, when it is pending no more.
pub async fn settle(transaction: &mut UserTransaction, pending: &Pending, outcome: &Outcome) -> Result<bool, Failure> {
    let (state, order, refusal) = match outcome {
        Outcome::Ordered(order) => ("ordered", Some(order.get()), None),
        Outcome::Refused(refusal) => ("refused", None, Some(Json(refusal))),
    };
    let settled = sqlx::query!(
        r#"
        /* settle */
        UPDATE purchase SET state = $2, order_id = $3, refusal = $4,
            settled_at = clock_timestamp(), resume_at = NULL
        WHERE id = $1 AND state = 'pending'
        "#,
        pending.id.0,
        state,
        order,
        refusal as _
    )
    .execute(&mut **transaction)
    .await?;
    if settled.rows_affected() == 0 {
        return Ok(false);
    }
    match outcome {
        Outcome::Ordered(_) => {}
        Outcome::Refused(_) => put_back(transaction, pending).await?,
    }
    Ok(true)
}

/// Undoes a pending purchase: its lines go back into the cart and nothing is left of it. Answers false, and changes
/// nothing, when it is pending no more.
pub async fn abandon(transaction: &mut UserTransaction, pending: &Pending) -> Result<bool, Failure> {
    let deleted = sqlx::query!("/* abandon */ DELETE FROM purchase WHERE id = $1 AND state = 'pending'", pending.id.0)
        .execute(&mut **transaction)
        .await?;
    if deleted.rows_affected() == 0 {
        return Ok(false);
    }
    put_back(transaction, pending).await?;
    Ok(true)
}

/// Adds the lines to what the cart holds by now; the limits of carts leave room for them.
async fn put_back(transaction: &mut UserTransaction, pending: &Pending) -> Result<(), Failure> {
    let user = transaction.user.get();
    let (skus, counts): (Vec<i64>, Vec<i64>) =
        pending.lines.iter().map(|line| (i64::from(line.sku), i64::from(line.count))).unzip();
    let put = sqlx::query!(
        r#"
        /* put_back */
        INSERT INTO cart_item (user_id, sku, count)
        SELECT $1, sku, count FROM unnest($2::bigint[], $3::bigint[]) AS line (sku, count)
        ON CONFLICT (user_id, sku) DO UPDATE SET count = cart_item.count + EXCLUDED.count
        "#,
        user,
        &skus,
        &counts
    )
    .execute(&mut **transaction)
    .await?;
    expect_rows("put_back", pending.lines.len(), &put)
}

/// Takes up to `limit` due purchases, the longest due first, so that no other replica does: they are due again after
/// `backoff`, doubled for each earlier attempt, at most `longest`, with jitter.
pub async fn take_due(
    on: impl PgExecutor<'_>,
    limit: i64,
    backoff: Duration,
    longest: Duration,
) -> Result<Vec<DuePurchase>, Failure> {
    let rows = sqlx::query!(
        r#"
        /* take_due_purchases */
        WITH due AS MATERIALIZED (
            SELECT id FROM purchase WHERE state = 'pending' AND resume_at <= now()
            ORDER BY resume_at LIMIT $1 FOR UPDATE SKIP LOCKED
        )
        UPDATE purchase SET attempts = attempts + 1, resume_at = now()
            + make_interval(secs => least($2 * power(2, least(attempts, 20)), $3) * (0.5 + random() / 2))
        FROM due WHERE purchase.id = due.id
        RETURNING purchase.id, user_id, idempotency_key, traceparent,
            ARRAY(SELECT sku FROM purchase_item WHERE purchase_id = purchase.id ORDER BY sku) AS "skus!",
            ARRAY(SELECT count FROM purchase_item WHERE purchase_id = purchase.id ORDER BY sku) AS "counts!"
        "#,
        limit,
        backoff.as_secs_f64(),
        longest.as_secs_f64()
    )
    .fetch_all(on)
    .await?;
    rows.into_iter()
        .map(|row| {
            let purchase = Pending {
                id: PurchaseId(row.id),
                user: read(row.user_id)?,
                key: key(row.idempotency_key)?,
                lines: lines(std::iter::zip(row.skus, row.counts))?,
            };
            Ok(DuePurchase { purchase, traceparent: row.traceparent })
        })
        .collect()
}

/// How long until the next purchase is due; `None` if none is under way.
pub async fn next_due(on: impl PgExecutor<'_>) -> Result<Option<Duration>, Failure> {
    let seconds = sqlx::query_scalar!(
        r#"
        /* next_due_purchase */
        SELECT extract(epoch FROM min(resume_at) - now())::double precision
        FROM purchase WHERE state = 'pending'
        "#
    )
    .fetch_one(on)
    .await?;
    Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
}

/// Measures what is under way, up to [`MAX_COUNTED`].
pub async fn backlog(on: impl PgExecutor<'_>) -> Result<Backlog, Failure> {
    let backlog = sqlx::query_as!(
        Backlog,
        r#"
        /* purchase_backlog */
        SELECT count(*) AS "count!",
            greatest(floor(extract(epoch FROM now() - min(created_at))), 0)::bigint AS "oldest_seconds!"
        FROM (SELECT created_at FROM purchase WHERE state = 'pending' ORDER BY resume_at LIMIT $1) AS pending
        "#,
        MAX_COUNTED,
    )
    .fetch_one(on)
    .await?;
    Ok(backlog)
}
