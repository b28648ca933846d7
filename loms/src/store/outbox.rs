//! The table `outbox`. [`apply`](super::apply) writes it; here it is read and emptied.

use platform::{
    failure::Failure,
    postgres::{Transaction, expect_rows, read},
};
use proto::event::Event;
use sqlx::PgExecutor;

use super::Backlog;
use crate::domain::unsent::Unsent;

/// Names the lock that one relay holds while it publishes; advisory locks belong to the database, so it is ours alone.
const RELAY_LOCK: i64 = 1;

/// Becomes the one relay that publishes, until the end of the transaction; false if another one is.
pub async fn lock_relay(transaction: &mut Transaction) -> Result<bool, Failure> {
    sqlx::query_scalar!(r#"/* lock_relay */ SELECT pg_try_advisory_xact_lock($1) AS "locked!""#, RELAY_LOCK)
        .fetch_one(&mut *transaction)
        .await
        .map_err(Failure::from)
}

/// The oldest unsent event of each order, oldest first, of those behind a place in the outbox.
///
/// To be called after [`lock_relay`], in a statement of its own: one that began earlier would still see the events that
/// the relay before published and deleted.
pub async fn wave(transaction: &mut Transaction, behind: i64, limit: usize) -> Result<Vec<Unsent>, Failure> {
    let limit = i64::try_from(limit).map_err(Failure::unforeseen)?;
    let rows = sqlx::query!(
        r#"
        /* outbox_wave */
        SELECT id, event_id, order_id, user_id, status, message, traceparent, occurred_at
        FROM outbox
        WHERE id > $2 AND NOT EXISTS (
            SELECT FROM outbox AS earlier WHERE earlier.order_id = outbox.order_id AND earlier.id < outbox.id
        )
        ORDER BY id
        LIMIT $1
        "#,
        limit,
        behind,
    )
    .fetch_all(&mut *transaction)
    .await?;
    rows.into_iter()
        .map(|row| {
            let event = Event {
                id: row.event_id.to_string(),
                order: read(row.order_id)?,
                user: read(row.user_id)?,
                status: row.status,
                text: row.message,
                occurred_at: row.occurred_at,
            };
            Ok(Unsent { id: row.id, event, traceparent: row.traceparent })
        })
        .collect()
}

/// Removes events that are published.
pub async fn delete(transaction: &mut Transaction, ids: &[i64]) -> Result<(), Failure> {
    let deleted = sqlx::query!("/* delete_from_outbox */ DELETE FROM outbox WHERE id = ANY ($1)", ids)
        .execute(&mut *transaction)
        .await?;
    expect_rows("delete_from_outbox", ids.len(), &deleted)
}

/// Measures what waits to be published.
pub async fn backlog(on: impl PgExecutor<'_>) -> Result<Backlog, Failure> {
    let backlog = sqlx::query_as!(
        Backlog,
        r#"
        /* outbox_backlog */
        SELECT count(*) AS "count!",
               greatest(floor(extract(epoch FROM clock_timestamp() - min(occurred_at))), 0)::bigint AS "oldest_seconds!"
        FROM outbox
        "#,
    )
    .fetch_one(on)
    .await?;
    Ok(backlog)
}
