//! The table `delivery`: which message is sent next, by whom, and how that went.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, Utc};
use platform::{
    failure::Failure,
    postgres::{MAX_COUNTED, read},
};
use proto::ids::OrderId;
use sqlx::PgExecutor;

use crate::domain::delivery::Verdict;

/// The right to send one message, for as long as it was claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub message_id: i64,
    pub order: OrderId,
    pub text: String,
    /// When the order took the status that the message tells of.
    pub occurred_at: DateTime<Utc>,
    /// The trace to continue.
    pub traceparent: Option<String>,
    /// Which attempt this is, from 1; also what tells this claim from others of the message.
    attempts: i32,
}

impl Claim {
    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempts.unsigned_abs()
    }
}

/// What is still to be delivered, and what never will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    pub due: i64,
    pub dead: i64,
    /// For how many seconds the oldest that is due has waited.
    pub oldest_due_seconds: i64,
}

/// Claims the oldest deliveries that may be made now, one of an order and at most `limit`, but for those in `except`:
/// nobody else gets one before `lease` is over, nor a later message of its order before it is settled.
pub async fn claim(
    on: impl PgExecutor<'_>,
    limit: usize,
    lease: Duration,
    except: &[i64],
) -> Result<Vec<Claim>, Failure> {
    let rows = sqlx::query!(
        r#"
        /* claim_deliveries */
        WITH next AS MATERIALIZED (
            SELECT message_id FROM delivery AS candidate
            WHERE state = 'due' AND next_attempt_at <= now() AND message_id <> ALL ($2) AND message_id = (
                -- Not `state = 'due'`, so that of two indexes one has the candidates in their order, and the other these.
                SELECT min(message_id) FROM delivery AS of_order
                WHERE of_order.order_id = candidate.order_id AND of_order.settled_at IS NULL
            )
            ORDER BY message_id
            LIMIT $3
            FOR UPDATE SKIP LOCKED
        ), claimed AS (
            UPDATE delivery SET attempts = attempts + 1, next_attempt_at = now() + make_interval(secs => $1)
            FROM next
            WHERE delivery.message_id = next.message_id
            RETURNING delivery.message_id, order_id, attempts
        )
        SELECT claimed.message_id, claimed.order_id, message.text, message.occurred_at, message.traceparent,
            claimed.attempts
        FROM claimed
        CROSS JOIN LATERAL (SELECT * FROM message WHERE id = claimed.message_id LIMIT 1) AS message
        ORDER BY claimed.message_id
        "#,
        lease.as_secs_f64(),
        except,
        i64::try_from(limit).unwrap_or(i64::MAX),
    )
    .fetch_all(on)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Claim {
                message_id: row.message_id,
                order: read(row.order_id)?,
                text: row.text,
                occurred_at: row.occurred_at,
                traceparent: row.traceparent,
                attempts: row.attempts,
            })
        })
        .collect()
}

/// Writes down how attempts went: a message was delivered, is tried again after a pause, or is given up. Answers for which
/// of them; not for those whose claim was over and is somebody else's now.
pub async fn settle(
    on: impl PgExecutor<'_>,
    attempts: impl Iterator<Item = (&Claim, &Verdict)>,
) -> Result<HashSet<i64>, Failure> {
    let (mut messages, mut numbers, mut states) = (Vec::new(), Vec::new(), Vec::new());
    let (mut pauses, mut errors) = (Vec::new(), Vec::new());
    for (claim, verdict) in attempts {
        let (state, pause, error) = match verdict {
            Verdict::Sent => ("sent", None, None),
            Verdict::Postponed { pause, reason, .. } => ("due", Some(pause.as_secs_f64()), Some(reason.as_str())),
            Verdict::Dead(reason) => ("dead", None, Some(reason.as_str())),
        };
        messages.push(claim.message_id);
        numbers.push(claim.attempts);
        states.push(state);
        pauses.push(pause);
        errors.push(error);
    }
    let settled = sqlx::query_scalar!(
        r#"
        /* settle_deliveries */
        UPDATE delivery
        SET state = attempt.state,
            settled_at = CASE WHEN attempt.state <> 'due' THEN now() END,
            next_attempt_at = coalesce(now() + make_interval(secs => attempt.pause), next_attempt_at),
            last_error = attempt.error
        FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::double precision[], $5::text[])
            AS attempt (message_id, number, state, pause, error)
        WHERE delivery.message_id = attempt.message_id AND delivery.attempts = attempt.number
        RETURNING delivery.message_id
        "#,
        &messages,
        &numbers,
        &states as &[&str],
        &pauses as &[Option<f64>],
        &errors as &[Option<&str>],
    )
    .fetch_all(on)
    .await?;
    Ok(settled.into_iter().collect())
}

/// Counts what is not delivered, each up to [`MAX_COUNTED`].
pub async fn backlog(on: impl PgExecutor<'_>) -> Result<Backlog, Failure> {
    let backlog = sqlx::query_as!(
        Backlog,
        r#"
        /* delivery_backlog */
        SELECT
            (SELECT count(*) FROM (SELECT FROM delivery WHERE state = 'due' LIMIT $1) AS due) AS "due!",
            (SELECT count(*) FROM (SELECT FROM delivery WHERE state = 'dead' LIMIT $1) AS dead) AS "dead!",
            coalesce((
                SELECT floor(extract(epoch FROM now() - received_at))::bigint FROM message
                WHERE id = (SELECT min(message_id) FROM delivery WHERE state = 'due')
            ), 0) AS "oldest_due_seconds!"
        "#,
        MAX_COUNTED,
    )
    .fetch_one(on)
    .await?;
    Ok(backlog)
}
