//! Purchases that were settled long ago.

use std::time::Duration;

use platform::{
    failure::Failure,
    postgres::Database,
    retention::{BATCH, Forgotten, Past},
};
use uuid::Uuid;

/// Purchases by id, which begins with the time of their beginning.
#[derive(Debug)]
pub struct OldPurchases {
    pub database: Database,
}

impl Past for OldPurchases {
    type Place = Uuid;

    async fn forget(&self, behind: Option<&Uuid>, age: Duration) -> Result<Forgotten<Uuid>, Failure> {
        let row = sqlx::query!(
            r#"
            /* forget_purchases */
            WITH first AS MATERIALIZED (
                SELECT id, created_at < now() - make_interval(secs => $2) AS is_old,
                       settled_at < now() - make_interval(secs => $2) AS is_over
                FROM purchase
                WHERE id > $1
                ORDER BY id
                LIMIT $3
            ), deleted AS (
                DELETE FROM purchase USING first WHERE purchase.id = first.id AND first.is_over RETURNING 1
            )
            SELECT (SELECT count(*) FROM deleted) AS "deleted!",
                   (SELECT id FROM first WHERE is_old ORDER BY id DESC LIMIT 1) AS last
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
