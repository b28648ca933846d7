//! The table `purchase`, as far as it needs no lock of a user.

use std::time::Duration;

use platform::{
    failure::Failure,
    postgres::{MAX_COUNTED, expect_rows, read},
};
use proto::ids::IdempotencyKey;
use sqlx::PgExecutor;

use super::lines;
use crate::domain::purchase::{Pending, PurchaseId};

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

/// A key as it is stored.
pub(super) fn key(text: Option<String>) -> Result<Option<IdempotencyKey>, Failure> {
    IdempotencyKey::parse(text.unwrap_or_default()).map_err(Failure::unforeseen)
}

/// Notes that a caller was told the outcome.
pub async fn mark_answered(on: impl PgExecutor<'_>, id: PurchaseId) -> Result<(), Failure> {
    let marked =
        sqlx::query!("/* mark_answered */ UPDATE purchase SET answered = true WHERE id = $1", id.0).execute(on).await?;
    expect_rows("mark_answered", 1, &marked)
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
        SELECT extract(epoch FROM resume_at - now())::double precision AS "seconds!"
        FROM purchase WHERE state = 'pending' ORDER BY resume_at LIMIT 1
        "#
    )
    .fetch_optional(on)
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
