//! Reads a user's history, a page at a time.

use chrono::{DateTime, Utc};
use platform::{failure::Failure, ids::UserId, postgres::Database};

use crate::domain::period::{Period, Position};

/// A message of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its number.
    pub id: i64,
    /// The order it is about.
    pub order_id: i64,
    /// Whom it is for.
    pub user_id: i64,
    /// The status the order took.
    pub status: String,
    /// What the user is told.
    pub text: String,
    /// When the order took it.
    pub occurred_at: DateTime<Utc>,
}

/// How much fits into a page.
#[derive(Debug, Clone, Copy)]
pub struct PageLimit {
    /// So many messages.
    pub messages: i64,
    /// Texts of so many bytes, with `overhead` added for each message.
    pub bytes: i64,
    /// What a message takes beside its texts, in bytes.
    pub overhead: i64,
}

/// The messages of a period after a position, oldest first, as many as the limit allows but at least one; and whether
/// there are more.
pub async fn page(
    database: &Database,
    user: UserId,
    period: &Period,
    after: Position,
    limit: PageLimit,
) -> Result<(Vec<Message>, bool), Failure> {
    let rows = sqlx::query!(
        r#"/* read_history */
        SELECT id, order_id, user_id, status, text, occurred_at, found AS "found!"
        FROM (
            SELECT *,
                row_number() OVER history AS position,
                count(*) OVER () AS found,
                sum(octet_length(status) + octet_length(text) + $7::bigint) OVER history AS bytes
            FROM (
                SELECT id, order_id, user_id, status, text, occurred_at FROM message
                WHERE user_id = $1 AND (occurred_at, id) > ($2, $3::bigint) AND occurred_at < $4
                ORDER BY occurred_at, id
                LIMIT $5::bigint + 1
            ) AS candidate
            WINDOW history AS (ORDER BY occurred_at, id ROWS UNBOUNDED PRECEDING)
        ) AS counted
        WHERE position <= $5::bigint AND (bytes <= $6::bigint OR position = 1)
        ORDER BY occurred_at, id"#,
        user.get(),
        after.occurred_at,
        after.id,
        period.end(),
        limit.messages,
        limit.bytes,
        limit.overhead,
    )
    .fetch_all(&mut database.single("read_history").await?)
    .await?;
    let more = rows.first().is_some_and(|row| row.found > rows.len().try_into().unwrap_or(i64::MAX));
    let messages = rows.into_iter().map(|row| Message {
        id: row.id,
        order_id: row.order_id,
        user_id: row.user_id,
        status: row.status,
        text: row.text,
        occurred_at: row.occurred_at,
    });
    Ok((messages.collect(), more))
}
