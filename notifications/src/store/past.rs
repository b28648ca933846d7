//! Messages that arrived long ago.

use std::time::Duration;

use platform::{
    failure::Failure,
    postgres::Database,
    retention::{BATCH, Forgotten, Past},
};

/// Messages by number, with their deliveries. A message that is still to be sent is not over.
#[derive(Debug)]
pub struct OldMessages {
    pub database: Database,
}

impl Past for OldMessages {
    type Place = i64;

    async fn forget(&self, behind: Option<&i64>, age: Duration) -> Result<Forgotten<i64>, Failure> {
        let row = sqlx::query!(
            r#"
            /* forget_messages */
            WITH first AS MATERIALIZED (
                SELECT id, received_at < now() - make_interval(secs => $2) AS is_old
                FROM message
                WHERE id > $1
                ORDER BY id
                LIMIT $3
            ), gone AS MATERIALIZED (
                SELECT id
                FROM first
                WHERE is_old
                    AND (SELECT settled_at IS NOT NULL FROM delivery WHERE message_id = first.id) IS NOT FALSE
            ), deleted AS (
                DELETE FROM message USING gone WHERE message.id = gone.id RETURNING 1
            )
            SELECT (SELECT count(*) FROM deleted) AS "deleted!", (SELECT max(id) FROM first WHERE is_old) AS last
            "#,
            behind.copied().unwrap_or_default(),
            age.as_secs_f64(),
            BATCH,
        )
        .fetch_one(&self.database)
        .await?;
        Ok(Forgotten { deleted: row.deleted, last: row.last })
    }
}
