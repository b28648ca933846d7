//! Purchases and their lines. Everything here runs under the lock of the user who buys.

use std::time::Duration;

use platform::{
    failure::Failure,
    ids::{IdempotencyKey, OrderId},
    refusal::Refusal,
    telemetry::trace,
};
use sqlx::types::Json;
use tracing::Span;
use uuid::Uuid;

use super::{LineRow, UserTransaction, expect_rows, lines};
use crate::domain::{
    Line,
    purchase::{Audience, Outcome, Pending, PurchaseId},
};

/// For how long a call without a key on an empty cart is taken for the repetition of one that was never answered.
const UNTOLD_FOR: Duration = Duration::from_secs(10 * 60);

/// A purchase as it stands.
#[derive(Debug)]
pub enum Found {
    /// LOMS has yet to answer for it.
    Pending(Pending),
    /// It has come to its end.
    Settled(Outcome),
}

struct PurchaseRow {
    id: Uuid,
    idempotency_key: Option<String>,
    order_id: Option<i64>,
    refusal: Option<Json<Refusal>>,
}

impl PurchaseRow {
    /// The outcome; `None` while it is pending.
    fn outcome(&self) -> Result<Option<Outcome>, Failure> {
        match (self.order_id, &self.refusal) {
            (Some(order), _) => OrderId::try_from(order).map(Outcome::Ordered).map(Some).map_err(Failure::unforeseen),
            (None, Some(Json(refusal))) => Ok(Some(Outcome::Refused(refusal.clone()))),
            (None, None) => Ok(None),
        }
    }
}

impl UserTransaction {
    /// The user's purchase of that key.
    pub async fn purchase_of_key(&mut self, key: &IdempotencyKey) -> Result<Option<Found>, Failure> {
        let row = sqlx::query_as!(
            PurchaseRow,
            r#"/* purchase_of_key */ SELECT id, idempotency_key, order_id, refusal AS "refusal: Json<Refusal>"
               FROM purchase WHERE user_id = $1 AND idempotency_key = $2"#,
            self.user.get(),
            key.as_str()
        )
        .fetch_optional(&mut self.transaction)
        .await?;
        self.found(row).await
    }

    /// The purchase of that name; `None` when it was abandoned.
    pub async fn purchase(&mut self, id: PurchaseId) -> Result<Option<Found>, Failure> {
        let row = sqlx::query_as!(
            PurchaseRow,
            r#"/* purchase */ SELECT id, idempotency_key, order_id, refusal AS "refusal: Json<Refusal>"
               FROM purchase WHERE id = $1"#,
            id.0
        )
        .fetch_optional(&mut self.transaction)
        .await?;
        self.found(row).await
    }

    /// The user's purchase that is under way.
    pub async fn pending_purchase(&mut self) -> Result<Option<Pending>, Failure> {
        let row = sqlx::query_as!(
            PurchaseRow,
            r#"/* pending_purchase */ SELECT id, idempotency_key, order_id, refusal AS "refusal: Json<Refusal>"
               FROM purchase WHERE user_id = $1 AND state = 'pending'"#,
            self.user.get()
        )
        .fetch_optional(&mut self.transaction)
        .await?;
        match row {
            Some(row) => self.pending(row).await.map(Some),
            None => Ok(None),
        }
    }

    /// The lines that the user's pending purchase has set aside, by SKU.
    pub async fn set_aside(&mut self) -> Result<Vec<Line>, Failure> {
        let rows = sqlx::query_as!(
            LineRow,
            "/* set_aside */ SELECT item.sku, item.count FROM purchase
             JOIN purchase_item item ON item.purchase_id = purchase.id
             WHERE purchase.user_id = $1 AND purchase.state = 'pending' ORDER BY item.sku",
            self.user.get()
        )
        .fetch_all(&mut self.transaction)
        .await?;
        lines(rows)
    }

    /// The order that became of the user's latest purchase without a key, if that was of late and no caller was told.
    pub async fn untold_order(&mut self) -> Result<Option<(PurchaseId, OrderId)>, Failure> {
        let row = sqlx::query!(
            r#"/* untold_order */ SELECT id, order_id,
                   answered OR settled_at < now() - make_interval(secs => $2) AS "is_over!" FROM purchase
               WHERE user_id = $1 AND idempotency_key IS NULL ORDER BY created_at DESC LIMIT 1"#,
            self.user.get(),
            UNTOLD_FOR.as_secs_f64()
        )
        .fetch_optional(&mut self.transaction)
        .await?;
        let Some(row) = row.filter(|row| !row.is_over) else { return Ok(None) };
        let order = row.order_id.map(OrderId::try_from).transpose().map_err(Failure::unforeseen)?;
        Ok(order.map(|order| (PurchaseId(row.id), order)))
    }

    /// Notes that a caller was told the outcome.
    pub async fn mark_answered(&mut self, id: PurchaseId) -> Result<(), Failure> {
        let result = sqlx::query!("/* mark_answered */ UPDATE purchase SET answered = true WHERE id = $1", id.0)
            .execute(&mut self.transaction)
            .await?;
        expect_rows("mark_answered", 1, &result)
    }

    /// Moves all lines of the cart, which are those of `pending`, into it, and notes the trace that this happens in. The
    /// background step leaves it alone for `resume_in`.
    pub async fn begin_purchase(&mut self, pending: &Pending, resume_in: Duration) -> Result<(), Failure> {
        let inserted = sqlx::query!(
            "/* insert_purchase */ INSERT INTO purchase (id, user_id, idempotency_key, resume_at, traceparent)
             VALUES ($1, $2, $3, clock_timestamp() + make_interval(secs => $4), $5)",
            pending.id.0,
            self.user.get(),
            pending.key.as_ref().map(IdempotencyKey::as_str),
            resume_in.as_secs_f64(),
            trace::traceparent(&Span::current())
        )
        .execute(&mut self.transaction)
        .await?;
        expect_rows("insert_purchase", 1, &inserted)?;
        let moved = sqlx::query!(
            "/* set_cart_aside */ WITH taken AS (DELETE FROM cart_item WHERE user_id = $1 RETURNING sku, count)
             INSERT INTO purchase_item (purchase_id, sku, count) SELECT $2, sku, count FROM taken",
            self.user.get(),
            pending.id.0
        )
        .execute(&mut self.transaction)
        .await?;
        expect_rows("set_cart_aside", pending.lines.len(), &moved)
    }

    /// Writes the outcome of a pending purchase down, and puts the lines of a refused one back into the cart. Answers
    /// false, and changes nothing, when it is pending no more.
    pub async fn settle(&mut self, pending: &Pending, outcome: &Outcome, audience: Audience) -> Result<bool, Failure> {
        let (state, order, refusal) = match outcome {
            Outcome::Ordered(order) => ("ordered", Some(order.get()), None),
            Outcome::Refused(refusal) => ("refused", None, Some(Json(refusal))),
        };
        let settled = sqlx::query!(
            "/* settle */ UPDATE purchase SET state = $2, order_id = $3, refusal = $4, answered = $5,
                 settled_at = clock_timestamp(), resume_at = NULL
             WHERE id = $1 AND state = 'pending'",
            pending.id.0,
            state,
            order,
            refusal as _,
            audience.is_told()
        )
        .execute(&mut self.transaction)
        .await?;
        if settled.rows_affected() == 0 {
            return Ok(false);
        }
        match outcome {
            Outcome::Ordered(_) => {}
            Outcome::Refused(_) => self.put_back(pending).await?,
        }
        Ok(true)
    }

    /// Undoes a pending purchase: its lines go back into the cart and nothing is left of it. Answers false, and
    /// changes nothing, when it is pending no more.
    pub async fn abandon(&mut self, pending: &Pending) -> Result<bool, Failure> {
        let deleted =
            sqlx::query!("/* abandon */ DELETE FROM purchase WHERE id = $1 AND state = 'pending'", pending.id.0)
                .execute(&mut self.transaction)
                .await?;
        if deleted.rows_affected() == 0 {
            return Ok(false);
        }
        self.put_back(pending).await?;
        Ok(true)
    }

    /// Adds the lines to what the cart holds by now; the limits of carts leave room for them.
    async fn put_back(&mut self, pending: &Pending) -> Result<(), Failure> {
        let (skus, counts): (Vec<i64>, Vec<i64>) =
            pending.lines.iter().map(|line| (i64::from(line.sku), i64::from(line.count))).unzip();
        let result = sqlx::query!(
            "/* put_back */ INSERT INTO cart_item (user_id, sku, count)
             SELECT $1, sku, count FROM unnest($2::bigint[], $3::bigint[]) AS line (sku, count)
             ON CONFLICT (user_id, sku) DO UPDATE SET count = cart_item.count + EXCLUDED.count",
            self.user.get(),
            &skus,
            &counts
        )
        .execute(&mut self.transaction)
        .await?;
        expect_rows("put_back", pending.lines.len(), &result)
    }

    async fn found(&mut self, row: Option<PurchaseRow>) -> Result<Option<Found>, Failure> {
        let Some(row) = row else { return Ok(None) };
        match row.outcome()? {
            Some(outcome) => Ok(Some(Found::Settled(outcome))),
            None => self.pending(row).await.map(Found::Pending).map(Some),
        }
    }

    async fn pending(&mut self, row: PurchaseRow) -> Result<Pending, Failure> {
        let rows = sqlx::query_as!(
            LineRow,
            "/* purchase_lines */ SELECT sku, count FROM purchase_item WHERE purchase_id = $1 ORDER BY sku",
            row.id
        )
        .fetch_all(&mut self.transaction)
        .await?;
        Ok(Pending { id: PurchaseId(row.id), user: self.user, key: key(row.idempotency_key)?, lines: lines(rows)? })
    }
}

pub(super) fn key(text: Option<String>) -> Result<Option<IdempotencyKey>, Failure> {
    IdempotencyKey::parse(text.unwrap_or_default()).map_err(Failure::unforeseen)
}
