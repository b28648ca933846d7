//! The table `message`: each event once, and users' histories.

use std::collections::HashSet;

use platform::{
    failure::Failure,
    kafka::Arrival,
    postgres::{Transaction, read},
};
use proto::{event::Event, ids::UserId, page::Position};
use sqlx::PgExecutor;

use crate::domain::history::{Message, PageLimit, Period};

/// Keeps those events that are new, in their order, and with `deliver` makes a delivery due for each. Answers the ids
/// of the new ones.
pub async fn keep(
    transaction: &mut Transaction,
    arrivals: &[Arrival<Event>],
    deliver: bool,
) -> Result<HashSet<String>, Failure> {
    let events = || arrivals.iter().map(|arrival| &arrival.event);
    let event_ids: Vec<_> = events().map(|event| event.id.clone()).collect();
    let users: Vec<_> = events().map(|event| event.user.get()).collect();
    let orders: Vec<_> = events().map(|event| event.order.get()).collect();
    let statuses: Vec<_> = events().map(|event| event.status.clone()).collect();
    let texts: Vec<_> = events().map(|event| event.text.clone()).collect();
    let times: Vec<_> = events().map(|event| event.occurred_at).collect();
    let traceparents: Vec<_> = arrivals.iter().map(|arrival| arrival.traceparent.clone()).collect();
    let new = sqlx::query_scalar!(
        r#"
        /* keep_messages */
        WITH arrival AS (
            SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::timestamptz[], $7::text[])
                WITH ORDINALITY AS a (event_id, user_id, order_id, status, text, occurred_at, traceparent, position)
        ), new AS (
            INSERT INTO message (event_id, user_id, order_id, status, text, occurred_at, traceparent)
            SELECT event_id, user_id, order_id, status, text, occurred_at, traceparent FROM arrival ORDER BY position
            ON CONFLICT ON CONSTRAINT message_event_id_key DO NOTHING
            RETURNING id, event_id, order_id
        ), due AS (
            INSERT INTO delivery (message_id, order_id) SELECT id, order_id FROM new WHERE $8
        )
        SELECT event_id FROM new
        "#,
        &event_ids,
        &users,
        &orders,
        &statuses,
        &texts,
        &times,
        &traceparents as &[Option<String>],
        deliver,
    )
    .fetch_all(&mut *transaction)
    .await?;
    Ok(new.into_iter().collect())
}

/// The id of an event that is kept already, and is about another user, order or status; `None` if there is none.
pub async fn find_reused(
    transaction: &mut Transaction,
    arrivals: &[Arrival<Event>],
) -> Result<Option<String>, Failure> {
    let events = || arrivals.iter().map(|arrival| &arrival.event);
    let event_ids: Vec<_> = events().map(|event| event.id.clone()).collect();
    let users: Vec<_> = events().map(|event| event.user.get()).collect();
    let orders: Vec<_> = events().map(|event| event.order.get()).collect();
    let statuses: Vec<_> = events().map(|event| event.status.clone()).collect();
    let reused = sqlx::query_scalar!(
        r#"
        /* find_reused_event */
        SELECT arrival.event_id AS "event_id!"
        FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) AS arrival (event_id, user_id, order_id, status)
        CROSS JOIN LATERAL (SELECT * FROM message WHERE event_id = arrival.event_id LIMIT 1) AS kept
        WHERE (kept.user_id, kept.order_id, kept.status) <> (arrival.user_id, arrival.order_id, arrival.status)
        LIMIT 1
        "#,
        &event_ids,
        &users,
        &orders,
        &statuses,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    Ok(reused)
}

/// The messages of a period after a position, oldest first, as many as the limit allows but at least one; and whether
/// there are more.
pub async fn page(
    on: impl PgExecutor<'_>,
    user: UserId,
    period: &Period,
    after: Position,
    limit: PageLimit,
) -> Result<(Vec<Message>, bool), Failure> {
    let rows = sqlx::query!(
        r#"
        /* read_history */
        SELECT id, order_id, status, text, occurred_at, found AS "found!"
        FROM (
            SELECT *,
                row_number() OVER history AS position,
                count(*) OVER () AS found,
                sum(octet_length(status) + octet_length(text) + $7::bigint) OVER history AS bytes
            FROM (
                SELECT id, order_id, status, text, occurred_at FROM message
                WHERE user_id = $1 AND (occurred_at, id) > ($2, $3::bigint) AND occurred_at < $4
                ORDER BY occurred_at, id
                LIMIT $5::bigint + 1
            ) AS candidate
            WINDOW history AS (ORDER BY occurred_at, id ROWS UNBOUNDED PRECEDING)
        ) AS counted
        WHERE position <= $5::bigint AND (bytes <= $6::bigint OR position = 1)
        ORDER BY occurred_at, id
        "#,
        user.get(),
        after.at,
        after.id,
        period.end(),
        limit.messages,
        limit.bytes,
        limit.overhead,
    )
    .fetch_all(on)
    .await?;
    let more = rows.first().is_some_and(|row| row.found > rows.len().try_into().unwrap_or(i64::MAX));
    let messages = rows.into_iter().map(|row| {
        let position = Position { at: row.occurred_at, id: row.id };
        Ok(Message { position, order: read(row.order_id)?, user, status: row.status, text: row.text })
    });
    Ok((messages.collect::<Result<_, Failure>>()?, more))
}
