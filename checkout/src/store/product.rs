//! The table `product`: what ProductService has told, kept for all replicas.

use std::time::Duration;

use platform::{
    failure::Failure,
    postgres::{expect_rows, read},
};
use proto::ids::{Sku, UserId};
use sqlx::PgExecutor;

use crate::domain::{
    Line,
    product::{Kept, Product},
};

/// The lines of a user's cart, by SKU, each with what is kept of its product.
pub async fn cart(on: impl PgExecutor<'_>, user: UserId) -> Result<Vec<(Line, Option<Kept>)>, Failure> {
    let rows = sqlx::query!(
        r#"
        /* cart */
        SELECT cart_item.sku, count, kept.name AS "name?", kept.price AS "price?", kept.age AS "age?"
        FROM cart_item LEFT JOIN LATERAL (
            SELECT name, price, extract(epoch FROM now() - told_at)::double precision AS age
            FROM product WHERE product.sku = cart_item.sku AND name IS NOT NULL LIMIT 1
        ) AS kept ON true
        WHERE user_id = $1 ORDER BY cart_item.sku
        "#,
        user.get(),
    )
    .fetch_all(on)
    .await?;
    rows.into_iter()
        .map(|row| {
            let line = Line { sku: read(row.sku)?, count: read(row.count)? };
            let kept = match (row.name, row.price, row.age) {
                (Some(name), Some(price), Some(seconds)) => {
                    let age = Duration::try_from_secs_f64(seconds).unwrap_or_default();
                    Some(Kept { product: Product { name: name.into(), price: read(price)? }, age })
                }
                _ => None,
            };
            Ok((line, kept))
        })
        .collect()
}

/// Keeps what ProductService told. Who wants it within `fresh` gets it without a call.
pub async fn keep(on: impl PgExecutor<'_>, sku: Sku, product: &Product, fresh: Duration) -> Result<(), Failure> {
    let kept = sqlx::query!(
        r#"
        /* keep_product */
        INSERT INTO product (sku, name, price, told_at, due_at)
        VALUES ($1, $2, $3, now(), now() + make_interval(secs => $4))
        ON CONFLICT (sku) DO UPDATE
        SET name = excluded.name, price = excluded.price, told_at = excluded.told_at, due_at = excluded.due_at, asked = 0
        "#,
        i64::from(sku),
        &*product.name,
        i64::from(product.price),
        fresh.as_secs_f64(),
    )
    .execute(on)
    .await?;
    expect_rows("keep_product", 1, &kept)
}

/// Forgets a product that ProductService does not know.
pub async fn forget(on: impl PgExecutor<'_>, sku: Sku) -> Result<(), Failure> {
    sqlx::query!("/* forget_product */ DELETE FROM product WHERE sku = $1", i64::from(sku)).execute(on).await?;
    Ok(())
}

/// Adds those of the listed products that are not there yet. They are asked for in the background.
pub async fn add(on: impl PgExecutor<'_>, listed: &[Sku]) -> Result<u64, Failure> {
    let listed: Vec<_> = listed.iter().map(|sku| i64::from(*sku)).collect();
    let added = sqlx::query!(
        "/* add_products */ INSERT INTO product (sku) SELECT * FROM unnest($1::bigint[]) ON CONFLICT (sku) DO NOTHING",
        &listed,
    )
    .execute(on)
    .await?;
    Ok(added.rows_affected())
}

/// Notes how often products were shown, by SKU in ascending order.
pub async fn note_asked(on: impl PgExecutor<'_>, skus: &[i64], times: &[i32]) -> Result<(), Failure> {
    sqlx::query!(
        r#"
        /* note_asked_products */
        UPDATE product SET asked = least(product.asked::bigint + shown.times, 2147483647)::integer
        FROM unnest($1::bigint[], $2::integer[]) AS shown (sku, times) WHERE product.sku = shown.sku
        "#,
        skus,
        times,
    )
    .execute(on)
    .await?;
    Ok(())
}

/// Takes up to `limit` products that are to be asked for again, so that no other replica does within `lease`: first what
/// shoppers want, the most wanted first, then what nobody wants and was told `unwanted` ago at least, the oldest first.
pub async fn take_due(
    on: impl PgExecutor<'_>,
    limit: i64,
    unwanted: Duration,
    lease: Duration,
) -> Result<Vec<Sku>, Failure> {
    let skus = sqlx::query_scalar!(
        r#"
        /* take_due_products */
        WITH wanted AS MATERIALIZED (
            SELECT sku FROM product WHERE asked > 0 AND due_at <= now()
            ORDER BY asked DESC, due_at LIMIT $1 FOR UPDATE SKIP LOCKED
        ), unwanted AS MATERIALIZED (
            SELECT sku FROM product
            WHERE asked = 0 AND due_at <= now() AND told_at <= now() - make_interval(secs => $2)
            ORDER BY told_at LIMIT $1 - (SELECT count(*) FROM wanted) FOR UPDATE SKIP LOCKED
        )
        UPDATE product SET due_at = now() + make_interval(secs => $3)
        FROM (SELECT sku FROM wanted UNION ALL SELECT sku FROM unwanted) AS due WHERE product.sku = due.sku
        RETURNING product.sku
        "#,
        limit,
        unwanted.as_secs_f64(),
        lease.as_secs_f64(),
    )
    .fetch_all(on)
    .await?;
    skus.into_iter().map(read).collect()
}
