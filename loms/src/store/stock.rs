//! The table `stock`.

use std::collections::HashMap;

use platform::{
    failure::Failure,
    postgres::{Transaction, read},
};
use proto::ids::{Sku, WarehouseId};
use sqlx::PgExecutor;

use crate::domain::{
    lines::Lines,
    plan::FreeStock,
    stock::{Counted, Stock, Units},
};

/// Locks the stock of an order's SKUs in all warehouses, by SKU and warehouse, and reads what is free of it.
pub async fn lock_free(transaction: &mut Transaction, lines: &Lines) -> Result<Vec<FreeStock>, Failure> {
    let skus: Vec<i64> = lines.iter().map(|line| line.sku.into()).collect();
    let rows = sqlx::query!(
        r#"
        /* lock_free_stock */
        SELECT warehouse_id, sku, on_hand - reserved AS "free!"
        FROM stock
        WHERE sku = ANY ($1)
        ORDER BY sku, warehouse_id
        FOR UPDATE
        "#,
        &skus,
    )
    .fetch_all(&mut *transaction)
    .await?;
    rows.into_iter()
        .map(|row| Ok(FreeStock { warehouse: read(row.warehouse_id)?, sku: read(row.sku)?, units: read(row.free)? }))
        .collect()
}

/// The warehouses that have free units of a SKU, by warehouse.
pub async fn free(on: impl PgExecutor<'_>, sku: Sku) -> Result<Vec<FreeStock>, Failure> {
    let rows = sqlx::query!(
        r#"
        /* free_stock */
        SELECT warehouse_id, on_hand - reserved AS "free!"
        FROM stock
        WHERE sku = $1 AND on_hand > reserved
        ORDER BY warehouse_id
        "#,
        i64::from(sku),
    )
    .fetch_all(on)
    .await?;
    rows.into_iter()
        .map(|row| Ok(FreeStock { warehouse: read(row.warehouse_id)?, sku, units: read(row.free)? }))
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

/// Stock of which more is reserved than somebody counted.
pub type Overbooked = HashMap<(WarehouseId, Sku), Units>;

/// Sets what is on hand, of each warehouse and SKU at most once; answers, for those that it therefore did not set, how
/// much is reserved.
pub async fn set_on_hand(transaction: &mut Transaction, counted: &[Counted]) -> Result<Overbooked, Failure> {
    let warehouses: Vec<i64> = counted.iter().map(|counted| counted.warehouse.get()).collect();
    let skus: Vec<i64> = counted.iter().map(|counted| counted.sku.into()).collect();
    let on_hand: Vec<i32> = counted.iter().map(|counted| counted.on_hand.get().cast_signed()).collect();
    sqlx::query!(
        r#"
        /* set_on_hand */
        INSERT INTO stock (warehouse_id, sku, on_hand)
        SELECT warehouse_id, sku, on_hand
        FROM unnest($1::bigint[], $2::bigint[], $3::integer[]) AS counted (warehouse_id, sku, on_hand)
        ORDER BY sku, warehouse_id
        ON CONFLICT (sku, warehouse_id) DO UPDATE SET on_hand = excluded.on_hand
        WHERE stock.reserved <= excluded.on_hand
        "#,
        &warehouses,
        &skus,
        &on_hand,
    )
    .execute(&mut *transaction)
    .await?;
    // The statement above holds the lock of every row, also of those that it did not set.
    let rows = sqlx::query!(
        r#"
        /* overbooked_stock */
        SELECT warehouse_id, sku, reserved
        FROM stock
        JOIN unnest($1::bigint[], $2::bigint[], $3::integer[]) AS counted (warehouse_id, sku, on_hand)
            USING (warehouse_id, sku)
        WHERE reserved > counted.on_hand
        "#,
        &warehouses,
        &skus,
        &on_hand,
    )
    .fetch_all(&mut *transaction)
    .await?;
    rows.into_iter().map(|row| Ok(((read(row.warehouse_id)?, read(row.sku)?), read(row.reserved)?))).collect()
}
