//! The tables `cart_item`, `purchase` and `purchase_item`, as far as calls of users change them. Whoever reads and writes
//! here holds the locks of the users.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    time::Duration,
};

use platform::{
    failure::Failure,
    postgres::{Transaction, read},
};
use proto::{
    ids::{Count, IdempotencyKey, Sku, UserId},
    refusal::Refusal,
};
use sqlx::types::Json;
use uuid::Uuid;

use super::{lines, purchase::key};
use crate::domain::{
    account::{Account, End},
    purchase::{Outcome, Pending, Purchase, PurchaseId},
};

/// For how long a call without a key on an empty cart is taken for the repetition of one that was never answered.
const UNTOLD_FOR: Duration = Duration::from_secs(10 * 60);

/// What a call must know of its user, beside the cart and the pending purchase.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub user: UserId,
    /// The purchase of this key.
    pub key: Option<&'a IdempotencyKey>,
    pub purchase: Option<PurchaseId>,
    /// The latest purchase without a key, if it was of late and no caller was told.
    pub untold: bool,
}

/// Reads the accounts of users.
pub async fn load(transaction: &mut Transaction, wanted: &[Wanted<'_>]) -> Result<HashMap<UserId, Account>, Failure> {
    let users: Vec<i64> = wanted.iter().map(|wanted| wanted.user.get()).collect();
    let keys: Vec<Option<&str>> = wanted.iter().map(|wanted| wanted.key.map(IdempotencyKey::as_str)).collect();
    let ids: Vec<Option<Uuid>> = wanted.iter().map(|wanted| wanted.purchase.map(|id| id.0)).collect();
    let untold: Vec<bool> = wanted.iter().map(|wanted| wanted.untold).collect();
    let rows = sqlx::query!(
        r#"
        /* accounts */
        SELECT call.user_id AS "user_id!",
               ARRAY(SELECT sku FROM cart_item WHERE user_id = call.user_id ORDER BY sku) AS "cart_skus!",
               ARRAY(SELECT count FROM cart_item WHERE user_id = call.user_id ORDER BY sku) AS "cart_counts!",
               purchase.id AS "id?", idempotency_key, order_id, refusal AS "refusal: Json<Refusal>",
               ARRAY(SELECT sku FROM purchase_item WHERE purchase_id = purchase.id ORDER BY sku) AS "skus!",
               ARRAY(SELECT count FROM purchase_item WHERE purchase_id = purchase.id ORDER BY sku) AS "counts!",
               is_untold AS "is_untold?"
        FROM unnest($1::bigint[], $2::text[], $3::uuid[], $4::boolean[]) AS call (user_id, key, purchase_id, untold)
        LEFT JOIN LATERAL (
            SELECT id, idempotency_key, order_id, refusal, false AS is_untold
            FROM purchase
            WHERE user_id = call.user_id AND state = 'pending'
            UNION ALL
            SELECT id, idempotency_key, order_id, refusal, false
            FROM purchase
            WHERE user_id = call.user_id AND idempotency_key = call.key AND state <> 'pending'
            UNION ALL
            SELECT id, idempotency_key, order_id, refusal, false
            FROM purchase
            WHERE id = call.purchase_id AND state <> 'pending'
            UNION ALL
            SELECT id, idempotency_key, order_id, refusal, true
            FROM (
                SELECT * FROM purchase
                WHERE call.untold AND user_id = call.user_id AND idempotency_key IS NULL
                ORDER BY created_at DESC
                LIMIT 1
            ) AS latest
            WHERE NOT answered AND (settled_at IS NULL OR settled_at >= now() - make_interval(secs => $5))
        ) AS purchase ON true
        "#,
        &users,
        &keys as &[Option<&str>],
        &ids as &[Option<Uuid>],
        &untold,
        UNTOLD_FOR.as_secs_f64(),
    )
    .fetch_all(&mut *transaction)
    .await?;
    let mut accounts = HashMap::with_capacity(wanted.len());
    for row in rows {
        let user = read(row.user_id)?;
        let account = match accounts.entry(user) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                entry.insert(Account::new(user, lines(std::iter::zip(row.cart_skus, row.cart_counts))?))
            }
        };
        let Some(id) = row.id.map(PurchaseId) else { continue };
        let key = key(row.idempotency_key)?;
        let purchase = match (row.order_id, row.refusal) {
            (Some(order), _) => Purchase::Settled(Outcome::Ordered(read(order)?)),
            (None, Some(Json(refusal))) => Purchase::Settled(Outcome::Refused(refusal)),
            (None, None) => {
                let lines = lines(std::iter::zip(row.skus, row.counts))?;
                Purchase::Pending(Pending { id, user, key: key.clone(), lines })
            }
        };
        account.know(id, key, purchase);
        if row.is_untold == Some(true) {
            account.mark_untold(id);
        }
    }
    Ok(accounts)
}

/// A purchase that begins.
#[derive(Debug)]
pub struct Begun {
    pub pending: Pending,
    /// The background step leaves it alone for so long.
    pub resume_in: Duration,
    /// The trace that this happens in.
    pub traceparent: Option<String>,
}

/// What changes in the accounts of users.
#[derive(Debug, Default)]
pub struct Changes {
    /// Lines that the cart holds so many units of from now on; `None` for those that it holds no more.
    lines: Vec<(UserId, Sku, Option<Count>)>,
    pub begun: Vec<Begun>,
    /// The purchases must be pending.
    pub ended: Vec<(PurchaseId, End)>,
}

impl Changes {
    /// Adds what changes in the cart of a user.
    pub fn cart(&mut self, user: UserId, before: &BTreeMap<Sku, Count>, after: &BTreeMap<Sku, Count>) {
        let put = after.iter().filter(|(sku, count)| before.get(sku) != Some(count));
        self.lines.extend(put.map(|(sku, count)| (user, *sku, Some(*count))));
        let gone = before.keys().filter(|sku| !after.contains_key(sku));
        self.lines.extend(gone.map(|sku| (user, *sku, None)));
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.begun.is_empty() && self.ended.is_empty()
    }
}

/// Writes changes, all in one statement.
pub async fn write(transaction: &mut Transaction, Changes { lines, begun, ended }: &Changes) -> Result<(), Failure> {
    let put: Vec<_> = lines.iter().filter_map(|(user, sku, count)| Some((user, sku, (*count)?))).collect();
    let put_users: Vec<i64> = put.iter().map(|(user, ..)| user.get()).collect();
    let put_skus: Vec<i64> = put.iter().map(|(_, sku, _)| i64::from(**sku)).collect();
    let put_counts: Vec<i32> = put.iter().map(|(.., count)| count.get().cast_signed()).collect();
    let (gone_users, gone_skus): (Vec<i64>, Vec<i64>) =
        lines.iter().filter(|(.., count)| count.is_none()).map(|(user, sku, _)| (user.get(), i64::from(*sku))).unzip();

    let (mut settled, mut abandoned) = (Vec::new(), Vec::new());
    for (id, end) in ended {
        match end {
            End::Settled(Outcome::Ordered(order)) => settled.push((id.0, "ordered", Some(order.get()), None)),
            End::Settled(Outcome::Refused(refusal)) => settled.push((id.0, "refused", None, Some(Json(refusal)))),
            End::Abandoned => abandoned.push(id.0),
        }
    }
    let settled_ids: Vec<Uuid> = settled.iter().map(|(id, ..)| *id).collect();
    let states: Vec<&str> = settled.iter().map(|(_, state, ..)| *state).collect();
    let orders: Vec<Option<i64>> = settled.iter().map(|(_, _, order, _)| *order).collect();
    let refusals: Vec<Option<Json<&Refusal>>> = settled.iter().map(|(.., refusal)| *refusal).collect();

    let begun_ids: Vec<Uuid> = begun.iter().map(|begun| begun.pending.id.0).collect();
    let begun_users: Vec<i64> = begun.iter().map(|begun| begun.pending.user.get()).collect();
    let keys: Vec<Option<&str>> =
        begun.iter().map(|begun| begun.pending.key.as_ref().map(IdempotencyKey::as_str)).collect();
    let resume_in: Vec<f64> = begun.iter().map(|begun| begun.resume_in.as_secs_f64()).collect();
    let traceparents: Vec<Option<&str>> = begun.iter().map(|begun| begun.traceparent.as_deref()).collect();
    let items = || begun.iter().flat_map(|begun| begun.pending.lines.iter().map(|line| (begun.pending.id.0, line)));
    let item_purchases: Vec<Uuid> = items().map(|(id, _)| id).collect();
    let item_skus: Vec<i64> = items().map(|(_, line)| i64::from(line.sku)).collect();
    let item_counts: Vec<i32> = items().map(|(_, line)| line.count.get().cast_signed()).collect();
    let written = sqlx::query!(
        r#"
        /* change_carts */
        WITH gone AS (
            DELETE FROM cart_item
            USING unnest($1::bigint[], $2::bigint[]) AS line (user_id, sku)
            WHERE cart_item.user_id = line.user_id AND cart_item.sku = line.sku
            RETURNING 1
        ), put AS (
            INSERT INTO cart_item (user_id, sku, count)
            SELECT user_id, sku, count
            FROM unnest($3::bigint[], $4::bigint[], $5::integer[]) AS line (user_id, sku, count)
            ON CONFLICT (user_id, sku) DO UPDATE SET count = EXCLUDED.count
            RETURNING 1
        ), settled AS (
            UPDATE purchase
            SET state = settled.state, order_id = settled.order_id, refusal = settled.refusal,
                settled_at = clock_timestamp(), resume_at = NULL
            FROM unnest($6::uuid[], $7::text[], $8::bigint[], $9::jsonb[])
                AS settled (id, state, order_id, refusal)
            -- Not `state = 'pending'`, or a planner that takes the table for empty reads the index of all that is pending.
            WHERE purchase.id = settled.id AND purchase.settled_at IS NULL
            RETURNING 1
        ), abandoned AS (
            DELETE FROM purchase WHERE id = ANY ($10::uuid[]) AND settled_at IS NULL RETURNING 1
        ), ended AS (
            SELECT (SELECT count(*) FROM settled) AS settled, (SELECT count(*) FROM abandoned) AS abandoned
        ), begun AS (
            INSERT INTO purchase (id, user_id, idempotency_key, resume_at, traceparent)
            SELECT id, user_id, key, clock_timestamp() + make_interval(secs => resume_in), traceparent
            FROM unnest($11::uuid[], $12::bigint[], $13::text[], $14::double precision[], $15::text[])
                AS begun (id, user_id, key, resume_in, traceparent)
            -- A user has one pending purchase: the one before must have ended.
            WHERE (SELECT settled + abandoned >= 0 FROM ended)
            RETURNING 1
        ), items AS (
            INSERT INTO purchase_item (purchase_id, sku, count)
            SELECT purchase_id, sku, count
            FROM unnest($16::uuid[], $17::bigint[], $18::integer[]) AS item (purchase_id, sku, count)
            RETURNING 1
        )
        SELECT (SELECT count(*) FROM gone) AS "gone!", (SELECT count(*) FROM put) AS "put!", settled AS "settled!",
               abandoned AS "abandoned!", (SELECT count(*) FROM begun) AS "begun!",
               (SELECT count(*) FROM items) AS "items!"
        FROM ended
        "#,
        &gone_users,
        &gone_skus,
        &put_users,
        &put_skus,
        &put_counts,
        &settled_ids,
        &states as &[&str],
        &orders as &[Option<i64>],
        &refusals as &[Option<Json<&Refusal>>],
        &abandoned,
        &begun_ids,
        &begun_users,
        &keys as &[Option<&str>],
        &resume_in,
        &traceparents as &[Option<&str>],
        &item_purchases,
        &item_skus,
        &item_counts,
    )
    .fetch_one(&mut *transaction)
    .await?;
    for (what, expected, written) in [
        ("lines that go", gone_skus.len(), written.gone),
        ("lines", put_skus.len(), written.put),
        ("settled purchases", settled_ids.len(), written.settled),
        ("abandoned purchases", abandoned.len(), written.abandoned),
        ("purchases", begun_ids.len(), written.begun),
        ("items of purchases", item_skus.len(), written.items),
    ] {
        if i64::try_from(expected) != Ok(written) {
            return Err(Failure::unforeseen(format!("{expected} {what} were to be written, and {written} were")));
        }
    }
    Ok(())
}
