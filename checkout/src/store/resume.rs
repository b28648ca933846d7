//! The backlog of purchases that were left in doubt, shared by all replicas.

use std::time::Duration;

use platform::{failure::Failure, ids::UserId};

use super::{LineRow, Store, lines, purchase::key};
use crate::domain::purchase::{Pending, PurchaseId};

/// A purchase to take up.
#[derive(Debug, Clone)]
pub struct Due {
    /// The purchase.
    pub purchase: Pending,
    /// The trace of the call that began it.
    pub traceparent: Option<String>,
}

/// How many purchases are under way, and when the next of them may be taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// How many.
    pub pending: i64,
    /// For how many seconds the oldest of them has been; 0 if there are none.
    pub oldest_seconds: i64,
    /// In what time; `None` if there are none.
    pub next_in: Option<Duration>,
}

impl Store {
    /// Takes up to `limit` due purchases, the longest due first, so that no other replica does: they are due again
    /// after `backoff`, doubled for each earlier attempt, at most `longest`, with jitter.
    pub async fn take_due(&self, limit: i64, backoff: Duration, longest: Duration) -> Result<Vec<Due>, Failure> {
        let mut transaction = self.database.begin("take_due_purchases").await?;
        let taken = sqlx::query!(
            "/* take_due */ WITH due AS MATERIALIZED (
                 SELECT id FROM purchase WHERE state = 'pending' AND resume_at <= now()
                 ORDER BY resume_at LIMIT $1 FOR UPDATE SKIP LOCKED
             )
             UPDATE purchase SET attempts = attempts + 1, resume_at = now()
                 + make_interval(secs => least($2 * power(2, least(attempts, 20)), $3) * (0.5 + random() / 2))
             FROM due WHERE purchase.id = due.id
             RETURNING purchase.id, user_id, idempotency_key, traceparent",
            limit,
            backoff.as_secs_f64(),
            longest.as_secs_f64()
        )
        .fetch_all(&mut transaction)
        .await?;
        let mut purchases = Vec::with_capacity(taken.len());
        for row in taken {
            let lines = lines(
                sqlx::query_as!(
                    LineRow,
                    "/* due_lines */ SELECT sku, count FROM purchase_item WHERE purchase_id = $1 ORDER BY sku",
                    row.id
                )
                .fetch_all(&mut transaction)
                .await?,
            )?;
            let user = UserId::try_from(row.user_id).map_err(Failure::unforeseen)?;
            let key = key(row.idempotency_key)?;
            let purchase = Pending { id: PurchaseId(row.id), user, key, lines };
            purchases.push(Due { purchase, traceparent: row.traceparent });
        }
        transaction.commit().await?;
        Ok(purchases)
    }

    /// What is under way.
    pub async fn backlog(&self) -> Result<Backlog, Failure> {
        let row = sqlx::query!(
            r#"/* purchase_backlog */ SELECT count(*) AS "pending!",
                   greatest(floor(extract(epoch FROM now() - min(created_at))), 0)::bigint AS "oldest_seconds!",
                   greatest(extract(epoch FROM min(resume_at) - now()), 0)::double precision AS next_in_seconds
               FROM purchase WHERE state = 'pending'"#
        )
        .fetch_one(&mut self.database.single("purchase_backlog").await?)
        .await?;
        // `greatest` ignores NULL, so it is the count that tells whether there are any.
        let next_in = row.next_in_seconds.filter(|_| row.pending > 0).map(Duration::try_from_secs_f64).transpose();
        let next_in = next_in.map_err(Failure::unforeseen)?;
        Ok(Backlog { pending: row.pending, oldest_seconds: row.oldest_seconds, next_in })
    }
}
