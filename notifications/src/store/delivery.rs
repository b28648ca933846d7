//! The table `delivery`: which message is sent next, by whom, and how that went.

use std::time::Duration;

use chrono::{DateTime, Utc};
use platform::{
    failure::Failure,
    postgres::{MAX_COUNTED, read},
};
use proto::ids::OrderId;
use sqlx::PgExecutor;

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

/// Claims the oldest delivery that may be made now, but for those in `except`: nobody else gets it before `lease` is
/// over, nor a later message of its order before it is settled.
pub async fn claim(on: impl PgExecutor<'_>, lease: Duration, except: &[i64]) -> Result<Option<Claim>, Failure> {
    let row = sqlx::query!(
        r#"
        /* claim_delivery */
        WITH claimed AS (
            UPDATE delivery SET attempts = attempts + 1, next_attempt_at = now() + make_interval(secs => $1)
            WHERE message_id = (
                SELECT message_id FROM delivery AS candidate
                WHERE state = 'due' AND next_attempt_at <= now() AND message_id <> ALL ($2) AND NOT EXISTS (
                    SELECT FROM delivery AS earlier
                    WHERE earlier.order_id = candidate.order_id
                        AND earlier.message_id < candidate.message_id
                        AND earlier.state = 'due'
                )
                ORDER BY message_id
                LIMIT 1
                FOR UPDATE SKIP LOCKED
            )
            RETURNING message_id, order_id, attempts
        )
        SELECT claimed.message_id, claimed.order_id, message.text, message.occurred_at, message.traceparent,
            claimed.attempts
        FROM claimed JOIN message ON message.id = claimed.message_id
        "#,
        lease.as_secs_f64(),
        except,
    )
    .fetch_optional(on)
    .await?;
    row.map(|row| {
        Ok(Claim {
            message_id: row.message_id,
            order: read(row.order_id)?,
            text: row.text,
            occurred_at: row.occurred_at,
            traceparent: row.traceparent,
            attempts: row.attempts,
        })
    })
    .transpose()
}

/// The message was delivered. `false` if the claim was over and is somebody else's now.
pub async fn mark_sent(on: impl PgExecutor<'_>, claim: &Claim) -> Result<bool, Failure> {
    let settled = sqlx::query!(
        r#"
        /* mark_sent */
        UPDATE delivery SET state = 'sent', settled_at = now(), last_error = NULL
        WHERE message_id = $1 AND attempts = $2 AND state = 'due'
        "#,
        claim.message_id,
        claim.attempts,
    )
    .execute(on)
    .await?;
    Ok(settled.rows_affected() == 1)
}

/// The message is tried again after a pause. `false` if the claim was over and is somebody else's now.
pub async fn postpone(on: impl PgExecutor<'_>, claim: &Claim, pause: Duration, reason: &str) -> Result<bool, Failure> {
    let settled = sqlx::query!(
        r#"
        /* postpone_delivery */
        UPDATE delivery SET next_attempt_at = now() + make_interval(secs => $3), last_error = $4
        WHERE message_id = $1 AND attempts = $2 AND state = 'due'
        "#,
        claim.message_id,
        claim.attempts,
        pause.as_secs_f64(),
        reason,
    )
    .execute(on)
    .await?;
    Ok(settled.rows_affected() == 1)
}

/// The message is given up. `false` if the claim was over and is somebody else's now.
pub async fn mark_dead(on: impl PgExecutor<'_>, claim: &Claim, reason: &str) -> Result<bool, Failure> {
    let settled = sqlx::query!(
        r#"
        /* mark_dead */
        UPDATE delivery SET state = 'dead', settled_at = now(), last_error = $3
        WHERE message_id = $1 AND attempts = $2 AND state = 'due'
        "#,
        claim.message_id,
        claim.attempts,
        reason,
    )
    .execute(on)
    .await?;
    Ok(settled.rows_affected() == 1)
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
