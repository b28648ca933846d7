//! The table `delivery`: which message is sent next, by whom, and how that went.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, Utc};
use platform::{
    failure::Failure,
    postgres::{MAX_COUNTED, Transaction, expect_rows, read},
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
    /// How many attempts before it failed for no reason that is the message's or the chat's bound.
    failures: i32,
}

impl Claim {
    /// Which failure it would be, from 1.
    pub fn failure(&self) -> u32 {
        self.failures.unsigned_abs().saturating_add(1)
    }

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

/// Whether anything may be delivered now.
pub async fn is_any_due(on: impl PgExecutor<'_>) -> Result<bool, Failure> {
    let due = sqlx::query_scalar!(
        r#"
        /* look_for_deliveries */
        SELECT true AS "due!" FROM delivery WHERE state = 'due' AND next_attempt_at <= now() ORDER BY message_id LIMIT 1
        "#
    );
    Ok(due.fetch_optional(on).await?.is_some())
}

/// The oldest messages that may be delivered now, at most `limit`, but for those in `except` and those that come after a
/// message of their order which may not. Whoever asks holds the row of the chat, so that nobody claims them meanwhile.
pub async fn waiting(transaction: &mut Transaction, limit: usize, except: &[i64]) -> Result<Vec<Claim>, Failure> {
    let rows = sqlx::query!(
        r#"
        /* waiting_deliveries */
        SELECT candidate.message_id, candidate.order_id, candidate.attempts, candidate.failures,
            message.text, message.occurred_at, message.traceparent
        FROM delivery AS candidate
        CROSS JOIN LATERAL (SELECT * FROM message WHERE id = candidate.message_id LIMIT 1) AS message
        WHERE state = 'due' AND next_attempt_at <= now() AND message_id <> ALL ($1)
            -- Not `state = 'due'`, so that of two indexes one has the candidates in their order, and the other these.
            AND coalesce((
                SELECT min(message_id) FROM delivery AS of_order
                WHERE of_order.order_id = candidate.order_id AND of_order.settled_at IS NULL
                    AND of_order.message_id < candidate.message_id
                    AND (of_order.next_attempt_at > now() OR of_order.message_id = ANY ($1))
            ), 0) = 0
        ORDER BY candidate.message_id
        LIMIT $2
        "#,
        except,
        i64::try_from(limit).unwrap_or(i64::MAX),
    )
    .fetch_all(&mut *transaction)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Claim {
                message_id: row.message_id,
                order: read(row.order_id)?,
                text: row.text,
                occurred_at: row.occurred_at,
                traceparent: row.traceparent,
                attempts: row.attempts + 1,
                failures: row.failures,
            })
        })
        .collect()
}

/// Claims deliveries that wait: nobody else gets one before `lease` is over, nor a later message of its order before it
/// is settled.
pub async fn claim(transaction: &mut Transaction, claims: &[&Claim], lease: Duration) -> Result<(), Failure> {
    let messages: Vec<_> = claims.iter().map(|claim| claim.message_id).collect();
    let attempts: Vec<_> = claims.iter().map(|claim| claim.attempts).collect();
    let claimed = sqlx::query!(
        r#"
        /* claim_deliveries */
        UPDATE delivery SET attempts = claim.attempts, next_attempt_at = now() + make_interval(secs => $3)
        FROM unnest($1::bigint[], $2::integer[]) AS claim (message_id, attempts)
        -- Not `state = 'due'`, so that no index of what is due is read for it.
        WHERE delivery.message_id = claim.message_id AND coalesce(state, '') = 'due'
        "#,
        &messages,
        &attempts,
        lease.as_secs_f64(),
    )
    .execute(&mut *transaction)
    .await?;
    expect_rows("claim_deliveries", claims.len(), &claimed)
}

/// Writes down how attempts went: a message was delivered, is tried again after a pause, or is given up. Answers for which
/// of them; not for those whose claim was over and is somebody else's now.
pub async fn settle(
    on: impl PgExecutor<'_>,
    attempts: impl Iterator<Item = (&Claim, &Verdict)>,
) -> Result<HashSet<i64>, Failure> {
    let (mut messages, mut numbers, mut states) = (Vec::new(), Vec::new(), Vec::new());
    let (mut pauses, mut errors, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for (claim, verdict) in attempts {
        let (state, pause, error) = match verdict {
            Verdict::Sent => ("sent", None, None),
            Verdict::Postponed { pause, reason, .. } => ("due", Some(pause.as_secs_f64()), Some(reason.as_str())),
            Verdict::Apart(reason) => ("due", Some(0.0), Some(reason.as_str())),
            Verdict::Dead(reason) => ("dead", None, Some(reason.as_str())),
        };
        messages.push(claim.message_id);
        numbers.push(claim.attempts);
        states.push(state);
        pauses.push(pause);
        errors.push(error);
        failures.push(matches!(verdict, Verdict::Postponed { rate_limited: false, .. }));
    }
    let settled = sqlx::query_scalar!(
        r#"
        /* settle_deliveries */
        UPDATE delivery
        SET state = attempt.state,
            settled_at = CASE WHEN attempt.state <> 'due' THEN now() END,
            next_attempt_at = coalesce(now() + make_interval(secs => attempt.pause), next_attempt_at),
            last_error = attempt.error,
            failures = failures + attempt.has_failed::integer
        FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::double precision[], $5::text[], $6::boolean[])
            AS attempt (message_id, number, state, pause, error, has_failed)
        WHERE delivery.message_id = attempt.message_id AND delivery.attempts = attempt.number
        RETURNING delivery.message_id
        "#,
        &messages,
        &numbers,
        &states as &[&str],
        &pauses as &[Option<f64>],
        &errors as &[Option<&str>],
        &failures,
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
