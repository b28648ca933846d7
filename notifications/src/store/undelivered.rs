//! What of the table `delivery` is not delivered, for operators.

use std::time::Duration;

use platform::{failure::Failure, postgres::read};
use proto::ids::OrderId;
use sqlx::PgExecutor;

use crate::domain::undelivered::{Dead, Fate, Undelivered};

/// Deliveries of one order or of all: at most so many that are due, the oldest first, for that is how they are made; and
/// behind them at most so many that were given up, the latest messages first.
pub async fn list(
    on: impl PgExecutor<'_>,
    order: Option<OrderId>,
    due: i64,
    dead: i64,
) -> Result<Vec<Undelivered>, Failure> {
    let rows = sqlx::query!(
        r#"
        /* list_undelivered */
        SELECT message_id AS "message_id!", undelivered.order_id AS "order_id!", attempts AS "attempts!",
               next_attempt_at AS "next_attempt_at!", settled_at, last_error, user_id, status, text, received_at
        FROM (
            (
                SELECT * FROM delivery
                WHERE state = 'due' AND ($1::bigint IS NULL OR order_id = $1)
                ORDER BY message_id
                LIMIT $2
            ) UNION ALL (
                SELECT * FROM delivery
                WHERE state = 'dead' AND ($1::bigint IS NULL OR order_id = $1)
                ORDER BY message_id DESC
                LIMIT $3
            )
        ) AS undelivered
        CROSS JOIN LATERAL (SELECT * FROM message WHERE id = undelivered.message_id LIMIT 1) AS message
        ORDER BY settled_at IS NOT NULL, CASE WHEN settled_at IS NULL THEN message_id ELSE -message_id END
        "#,
        order.map(OrderId::get),
        due,
        dead,
    )
    .fetch_all(on)
    .await?;
    let undelivered = rows.into_iter().map(|row| {
        Ok(Undelivered {
            message: row.message_id,
            order: read(row.order_id)?,
            user: read(row.user_id)?,
            status: row.status,
            text: row.text,
            received_at: row.received_at,
            attempts: row.attempts,
            error: row.last_error,
            fate: row.settled_at.map_or(Fate::Due(row.next_attempt_at), Fate::Dead),
        })
    });
    undelivered.collect()
}

/// Which deliveries were given up, of one order or of all, not longer ago than `within`: the next ones behind a message, at
/// most `limit`, oldest first.
pub async fn dead_behind(
    on: impl PgExecutor<'_>,
    message: i64,
    order: Option<OrderId>,
    within: Option<Duration>,
    limit: i64,
) -> Result<Vec<Dead>, Failure> {
    let rows = sqlx::query!(
        r#"
        /* dead_deliveries */
        SELECT message_id, order_id FROM delivery
        WHERE state = 'dead' AND message_id > $1
            AND ($2::bigint IS NULL OR order_id = $2)
            AND ($3::double precision IS NULL OR settled_at >= now() - make_interval(secs => $3))
        ORDER BY message_id
        LIMIT $4
        "#,
        message,
        order.map(OrderId::get),
        within.map(|within| within.as_secs_f64()),
        limit,
    )
    .fetch_all(on)
    .await?;
    rows.into_iter().map(|row| Ok(Dead { message: row.message_id, order: read(row.order_id)? })).collect()
}

/// Makes deliveries due that were given up. Answers for which messages; not for those that somebody else made due. Their
/// attempts are counted on, for it is the number of an attempt that tells who made it.
pub async fn retry(on: impl PgExecutor<'_>, messages: &[i64]) -> Result<Vec<i64>, Failure> {
    let retried = sqlx::query_scalar!(
        r#"
        /* retry_deliveries */
        UPDATE delivery SET state = 'due', settled_at = NULL, next_attempt_at = now(), failures = 0
        WHERE message_id = ANY ($1) AND state = 'dead'
        RETURNING message_id
        "#,
        messages,
    )
    .fetch_all(on)
    .await?;
    Ok(retried)
}
