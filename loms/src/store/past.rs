//! Orders that were over long ago.

use std::time::Duration;

use platform::{
    failure::Failure,
    postgres::Database,
    retention::{BATCH, Forgotten, Past},
};

/// Orders by number. Those that are paid, cancelled or failed are over when all of their events are published.
#[derive(Debug)]
pub struct OldOrders {
    pub database: Database,
}

impl Past for OldOrders {
    type Place = i64;

    async fn forget(&self, behind: Option<&i64>, age: Duration) -> Result<Forgotten<i64>, Failure> {
        let row = sqlx::query!(
            r#"
            /* forget_orders */
            WITH first AS MATERIALIZED (
                SELECT id, status, created_at < now() - make_interval(secs => $2) AS is_old
                FROM orders
                WHERE id > $1
                ORDER BY id
                LIMIT $3
            ), gone AS MATERIALIZED (
                SELECT id
                FROM first
                WHERE is_old AND status IN ('failed', 'paid', 'cancelled')
                    AND (SELECT min(outbox.id) FROM outbox WHERE outbox.order_id = first.id) IS NULL
            ), items AS (
                DELETE FROM order_item USING gone WHERE order_item.order_id = gone.id
            ), deleted AS (
                DELETE FROM orders USING gone WHERE orders.id = gone.id RETURNING 1
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
