//! The table `stock`.

use std::collections::{BTreeSet, HashSet};

use platform::{
    failure::Failure,
    postgres::{Transaction, read},
};
use proto::ids::Sku;
use sqlx::PgExecutor;

use super::numbers;
use crate::domain::{
    plan::{Free, FreeStock},
    stock::{Stock, Units},
    stock_file::CountedLine,
};

/// Stock of which some is locked, and the rest held by others.
#[derive(Debug)]
pub struct LockedStock {
    pub free: Free,
    /// SKUs of which others hold stock in at least one warehouse.
    pub held: HashSet<Sku>,
}

/// Locks the stock of SKUs in all warehouses, and reads what is free of it. Passes over stock that others hold.
pub async fn lock_free(transaction: &mut Transaction, skus: &BTreeSet<Sku>) -> Result<LockedStock, Failure> {
    let rows = sqlx::query!(
        r#"
        /* lock_free_stock */
        WITH locked AS MATERIALIZED (
            SELECT sku, warehouse_id, on_hand - reserved AS free
            FROM stock
            WHERE sku = ANY ($1)
            ORDER BY sku, warehouse_id
            FOR UPDATE SKIP LOCKED
        )
        SELECT sku, warehouse_id, locked.free AS "free?"
        FROM stock
        LEFT JOIN locked USING (sku, warehouse_id)
        WHERE sku = ANY ($1)
        "#,
        &numbers(skus),
    )
    .fetch_all(&mut *transaction)
    .await?;
    let (mut free, mut held) = (Vec::new(), HashSet::new());
    for row in rows {
        let sku = read(row.sku)?;
        match row.free {
            Some(units) => free.push(FreeStock { warehouse: read(row.warehouse_id)?, sku, units: read(units)? }),
            None => {
                held.insert(sku);
            }
        }
    }
    Ok(LockedStock { free: free.into_iter().collect(), held })
}

/// The warehouses that have free units of SKUs, by SKU and warehouse.
pub async fn free(on: impl PgExecutor<'_>, skus: &BTreeSet<Sku>) -> Result<Vec<FreeStock>, Failure> {
    let rows = sqlx::query!(
        r#"
        /* free_stock */
        SELECT sku, warehouse_id, on_hand - reserved AS "free!"
        FROM stock
        WHERE sku = ANY ($1) AND on_hand > reserved
        ORDER BY sku, warehouse_id
        "#,
        &numbers(skus),
    )
    .fetch_all(on)
    .await?;
    rows.into_iter()
        .map(|row| Ok(FreeStock { warehouse: read(row.warehouse_id)?, sku: read(row.sku)?, units: read(row.free)? }))
        .collect()
}

/// All stock, by warehouse and SKU.
pub async fn all(on: impl PgExecutor<'_>) -> Result<Vec<Stock>, Failure> {
    let rows = sqlx::query!(
        r#"
        /* all_stock */
        SELECT warehouse_id, sku, on_hand, reserved FROM stock ORDER BY warehouse_id, sku
        "#,
    )
    .fetch_all(on)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Stock {
                warehouse: read(row.warehouse_id)?,
                sku: read(row.sku)?,
                on_hand: read(row.on_hand)?,
                reserved: read(row.reserved)?,
            })
        })
        .collect()
}

/// A line that says something else than the stock does.
#[derive(Debug, Clone, Copy)]
pub struct Unset {
    pub line: CountedLine,
    /// How much is reserved.
    pub reserved: Units,
}

/// The lines, each of another warehouse and SKU, that say something else than the stock does.
pub async fn unset(on: impl PgExecutor<'_>, lines: &[CountedLine]) -> Result<Vec<Unset>, Failure> {
    let (warehouses, skus, on_hand) = columns(lines);
    let rows = sqlx::query!(
        r#"
        /* unset_stock */
        SELECT position AS "position!", coalesce(reserved, 0) AS "reserved!"
        FROM unnest($1::bigint[], $2::bigint[], $3::integer[])
            WITH ORDINALITY AS counted (warehouse_id, sku, on_hand, position)
        LEFT JOIN stock USING (warehouse_id, sku)
        WHERE stock.on_hand IS DISTINCT FROM counted.on_hand
        "#,
        &warehouses,
        &skus,
        &on_hand,
    )
    .fetch_all(on)
    .await?;
    rows.into_iter()
        .map(|row| {
            let line = usize::try_from(row.position - 1).ok().and_then(|index| lines.get(index));
            let line = *line.ok_or_else(|| Failure::unforeseen("a line that nobody asked for"))?;
            Ok(Unset { line, reserved: read(row.reserved)? })
        })
        .collect()
}

/// Sets what is on hand, of each warehouse and SKU at most once. Passes over stock that others hold, and stock of which
/// more is reserved.
pub async fn set_on_hand(transaction: &mut Transaction, lines: &[CountedLine]) -> Result<(), Failure> {
    let (warehouses, skus, on_hand) = columns(lines);
    sqlx::query!(
        r#"
        /* set_on_hand */
        WITH counted AS (
            SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[]) AS counted (warehouse_id, sku, on_hand)
        ), locked AS MATERIALIZED (
            SELECT warehouse_id, sku, counted.on_hand
            FROM stock
            JOIN counted USING (warehouse_id, sku)
            WHERE stock.on_hand <> counted.on_hand AND stock.reserved <= counted.on_hand
            ORDER BY sku, warehouse_id
            FOR UPDATE OF stock SKIP LOCKED
        ), changed AS (
            UPDATE stock
            SET on_hand = locked.on_hand
            FROM locked
            WHERE stock.warehouse_id = locked.warehouse_id AND stock.sku = locked.sku
        )
        INSERT INTO stock (warehouse_id, sku, on_hand)
        SELECT warehouse_id, sku, counted.on_hand
        FROM counted
        LEFT JOIN stock USING (warehouse_id, sku)
        WHERE stock.sku IS NULL
        ORDER BY sku, warehouse_id
        ON CONFLICT (sku, warehouse_id) DO NOTHING
        "#,
        &warehouses,
        &skus,
        &on_hand,
    )
    .execute(&mut *transaction)
    .await?;
    Ok(())
}

fn columns(lines: &[CountedLine]) -> (Vec<i64>, Vec<i64>, Vec<i32>) {
    let warehouses = lines.iter().map(|line| line.counted.warehouse.get()).collect();
    let skus = lines.iter().map(|line| line.counted.sku.into()).collect();
    (warehouses, skus, lines.iter().map(|line| line.counted.on_hand.get().cast_signed()).collect())
}
