//! Keeps events as messages, each once.

use std::collections::HashSet;

use platform::{
    failure::Failure,
    postgres::{Database, retrying},
};

use crate::domain::event::Event;

/// An event to keep, with the trace it was read in.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The event.
    pub event: Event,
    /// W3C trace context, which the delivery continues.
    pub traceparent: Option<String>,
}

/// Keeps those events that are new, in their order, and with `deliver` makes a delivery due for each. Answers the ids
/// of the new ones.
pub async fn keep(database: &Database, arrivals: &[Arrival], deliver: bool) -> Result<HashSet<String>, Failure> {
    // Two replicas may keep the same events in different orders when a partition moves between them.
    retrying("keep_messages", || insert(database, arrivals, deliver)).await
}

async fn insert(database: &Database, arrivals: &[Arrival], deliver: bool) -> Result<HashSet<String>, Failure> {
    let event_ids: Vec<_> = arrivals.iter().map(|arrival| arrival.event.id.clone()).collect();
    let users: Vec<_> = arrivals.iter().map(|arrival| arrival.event.user.get()).collect();
    let orders: Vec<_> = arrivals.iter().map(|arrival| arrival.event.order.get()).collect();
    let statuses: Vec<_> = arrivals.iter().map(|arrival| arrival.event.status.clone()).collect();
    let texts: Vec<_> = arrivals.iter().map(|arrival| arrival.event.text.clone()).collect();
    let times: Vec<_> = arrivals.iter().map(|arrival| arrival.event.occurred_at).collect();
    let traceparents: Vec<_> = arrivals.iter().map(|arrival| arrival.traceparent.clone()).collect();

    let mut transaction = database.begin("keep_messages").await?;
    let new = sqlx::query_scalar!(
        r#"/* keep_messages */
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
        SELECT event_id FROM new"#,
        &event_ids,
        &users,
        &orders,
        &statuses,
        &texts,
        &times,
        &traceparents as &[Option<String>],
        deliver,
    )
    .fetch_all(&mut transaction)
    .await?;
    transaction.commit().await?;
    Ok(new.into_iter().collect())
}
