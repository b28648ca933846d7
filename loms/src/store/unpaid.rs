//! The orders that await payment, by their deadline.

use std::time::Duration;

use platform::{
    failure::Failure,
    postgres::{MAX_COUNTED, read},
};
use proto::ids::OrderId;
use sqlx::PgExecutor;

use super::Backlog;

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

/// The orders that await payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpaid {
    /// Up to `MOST_UNPAID`.
    pub count: i64,
    /// Those that should be cancelled already, up to [`MAX_COUNTED`].
    pub overdue: Backlog,
}

/// There may always be many, and nothing is wrong with that: to count them must cost little.
const MOST_UNPAID: i64 = 10_000;

/// Measures the orders that await payment; those in `except` do not count as overdue.
pub async fn backlog(on: impl PgExecutor<'_>, except: &[i64]) -> Result<Unpaid, Failure> {
    let row = sqlx::query!(
        r#"
        /* unpaid_orders */
        SELECT (SELECT count(*) FROM (SELECT FROM orders WHERE status = 'awaiting payment' LIMIT $3) AS unpaid)
                   AS "unpaid!",
               count(*) AS "overdue!",
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
        MOST_UNPAID,
    )
    .fetch_one(on)
    .await?;
    Ok(Unpaid { count: row.unpaid, overdue: Backlog { count: row.overdue, oldest_seconds: row.oldest_seconds } })
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
