//! The table `outbox`. [`apply`](super::apply) writes it; here it is read and emptied.

use platform::{
    failure::Failure,
    postgres::{MAX_COUNTED, Transaction, expect_rows, read},
};
use proto::event::Event;
use sqlx::PgExecutor;

use super::Backlog;
use crate::domain::unsent::Unsent;

/// The lock that one relay holds while it publishes; advisory locks belong to the database, so it is ours alone.
pub const RELAY_LOCK: i64 = 1;

/// Events to publish, and what their statement could see.
#[derive(Debug)]
pub struct Wave {
    pub events: Vec<Unsent>,
    pub snapshot: Snapshot,
}

/// Which transactions a statement saw, by their numbers (`pg_current_snapshot`).
#[derive(Debug, Clone, Copy)]
pub struct Snapshot {
    /// All transactions below have ended.
    pub ended_below: i64,
    /// No transaction from here on had begun to write.
    pub begun_below: i64,
}

/// The oldest unsent events behind a place in the outbox, oldest first, of orders that have none before it. Of each order
/// that is in it, a wave has the oldest unsent event.
///
/// To be called in a transaction that holds [`RELAY_LOCK`]: a statement that began earlier would still see the events that
/// the relay before published and deleted.
pub async fn wave(transaction: &mut Transaction, behind: i64, limit: usize) -> Result<Wave, Failure> {
    let limit = i64::try_from(limit).map_err(Failure::unforeseen)?;
    let rows = sqlx::query!(
        r#"
        /* outbox_wave */
        SELECT pg_snapshot_xmin(snapshot)::text::bigint AS "ended_below!",
               pg_snapshot_xmax(snapshot)::text::bigint AS "begun_below!",
               id AS "id?", event_id AS "event_id?", order_id AS "order_id?", user_id AS "user_id?",
               status AS "status?", message AS "message?", traceparent, occurred_at AS "occurred_at?"
        FROM pg_current_snapshot() AS snapshot
        LEFT JOIN LATERAL (
            SELECT * FROM outbox
            WHERE id > $2
                AND (SELECT min(id) FROM outbox AS of_order WHERE of_order.order_id = outbox.order_id) > $2
            ORDER BY id
            LIMIT $1
        ) AS event ON true
        ORDER BY id
        "#,
        limit,
        behind,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let first = rows.first().ok_or_else(|| Failure::unforeseen("a statement has a snapshot"))?;
    let snapshot = Snapshot { ended_below: first.ended_below, begun_below: first.begun_below };
    let events = rows.into_iter().filter_map(|row| {
        let columns =
            (row.id?, row.event_id?, row.order_id?, row.user_id?, row.status?, row.message?, row.occurred_at?);
        Some((columns, row.traceparent))
    });
    let events = events.map(|((id, event_id, order, user, status, text, occurred_at), traceparent)| {
        let event =
            Event { id: event_id.to_string(), order: read(order)?, user: read(user)?, status, text, occurred_at };
        Ok(Unsent { id, event, traceparent })
    });
    Ok(Wave { events: events.collect::<Result<_, Failure>>()?, snapshot })
}

/// Whether there are unsent events behind a place in the outbox, and what the statement could see.
pub async fn has_events(on: impl PgExecutor<'_>, behind: i64) -> Result<(bool, Snapshot), Failure> {
    let row = sqlx::query!(
        r#"
        /* outbox_has_events */
        SELECT EXISTS (SELECT FROM outbox WHERE id > $1) AS "has_events!",
               pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS "ended_below!",
               pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS "begun_below!"
        "#,
        behind,
    )
    .fetch_one(on)
    .await?;
    Ok((row.has_events, Snapshot { ended_below: row.ended_below, begun_below: row.begun_below }))
}

/// Removes events that are published.
pub async fn delete(transaction: &mut Transaction, ids: &[i64]) -> Result<(), Failure> {
    let deleted = sqlx::query!("/* delete_from_outbox */ DELETE FROM outbox WHERE id = ANY ($1)", ids)
        .execute(&mut *transaction)
        .await?;
    expect_rows("delete_from_outbox", ids.len(), &deleted)
}

/// What waits to be published, and what the statement that measured it could see.
#[derive(Debug, Clone, Copy)]
pub struct Unpublished {
    pub backlog: Backlog,
    /// The first and the last place of those that were counted.
    pub places: Option<(i64, i64)>,
    pub snapshot: Snapshot,
}

/// Measures what waits to be published behind a place in the outbox, up to [`MAX_COUNTED`].
pub async fn backlog(on: impl PgExecutor<'_>, behind: i64) -> Result<Unpublished, Failure> {
    let row = sqlx::query!(
        r#"
        /* outbox_backlog */
        SELECT count(*) AS "count!", min(id) AS first, max(id) AS last,
               greatest(floor(extract(epoch FROM clock_timestamp() - min(occurred_at))), 0)::bigint AS "oldest_seconds!",
               pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS "ended_below!",
               pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS "begun_below!"
        FROM (SELECT id, occurred_at FROM outbox WHERE id > $2 ORDER BY id LIMIT $1) AS waiting
        "#,
        MAX_COUNTED,
        behind,
    )
    .fetch_one(on)
    .await?;
    Ok(Unpublished {
        backlog: Backlog { count: row.count, oldest_seconds: row.oldest_seconds },
        places: row.first.zip(row.last),
        snapshot: Snapshot { ended_below: row.ended_below, begun_below: row.begun_below },
    })
}
