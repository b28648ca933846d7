//! Waiting for rows that others hold. Everybody waits in the same order, so that nobody waits in a circle: for orders by
//! number, then for stock by SKU and warehouse.

use std::collections::BTreeSet;

use platform::{failure::Failure, postgres::Transaction};
use proto::ids::{OrderId, Sku};

use super::numbers;

/// Waits for orders and the stock that they have reserved, and for the stock of SKUs in all warehouses, and locks all of
/// it.
pub async fn wait_for(
    transaction: &mut Transaction,
    orders: &BTreeSet<OrderId>,
    skus: &BTreeSet<Sku>,
) -> Result<(), Failure> {
    let (orders, skus) = (numbers(orders), numbers(skus));
    sqlx::query!("/* wait_for_orders */ SELECT FROM orders WHERE id = ANY ($1) ORDER BY id FOR UPDATE", &orders)
        .execute(&mut *transaction)
        .await?;
    sqlx::query!(
        r#"
        /* wait_for_stock */
        SELECT FROM stock
        WHERE (sku, warehouse_id) IN (
            SELECT sku, warehouse_id FROM reservation WHERE order_id = ANY ($1)
            UNION SELECT sku, warehouse_id FROM stock WHERE sku = ANY ($2)
        )
        ORDER BY sku, warehouse_id
        FOR UPDATE
        "#,
        &orders,
        &skus,
    )
    .execute(&mut *transaction)
    .await?;
    Ok(())
}
