//! The table `reservation`, and `stock.reserved`, which is its sum: both change in the same statement.

use platform::{
    failure::Failure,
    postgres::{Transaction, expect_rows},
};
use proto::ids::OrderId;

use crate::domain::{order::Fate, plan::Reservation};

/// Reserves units for an order. The stock rows must be locked by [`stock::lock_free`](super::stock::lock_free).
pub async fn insert(
    transaction: &mut Transaction,
    order: OrderId,
    reservations: &[Reservation],
) -> Result<(), Failure> {
    let warehouses: Vec<i64> = reservations.iter().map(|reservation| reservation.warehouse.get()).collect();
    let skus: Vec<i64> = reservations.iter().map(|reservation| reservation.sku.into()).collect();
    let counts: Vec<i32> = reservations.iter().map(|reservation| reservation.count.get().cast_signed()).collect();
    let written = sqlx::query!(
        r#"
        /* insert_reservations */
        WITH raised AS (
            UPDATE stock
            SET reserved = stock.reserved + plan.count
            FROM unnest($2::bigint[], $3::bigint[], $4::integer[]) AS plan (warehouse_id, sku, count)
            WHERE stock.sku = plan.sku AND stock.warehouse_id = plan.warehouse_id
            RETURNING stock.warehouse_id, stock.sku, plan.count
        )
        INSERT INTO reservation (order_id, warehouse_id, sku, count)
        SELECT $1, warehouse_id, sku, count FROM raised
        "#,
        order.get(),
        &warehouses,
        &skus,
        &counts,
    )
    .execute(&mut *transaction)
    .await?;
    expect_rows("insert_reservations", reservations.len(), &written)
}

/// Ends the reservations of orders that await payment, whose rows must be locked. Answers how many units that were; `None`
/// if one of the orders has no reservations, which nothing but a defect or somebody's hand can bring about.
///
/// Locks the stock rows by SKU and warehouse, as everybody does, so that nobody waits in a circle.
pub async fn end(transaction: &mut Transaction, orders: &[OrderId], fate: Fate) -> Result<Option<u64>, Failure> {
    let orders: Vec<i64> = orders.iter().map(|order| order.get()).collect();
    let leaves_stock = match fate {
        Fate::Paid => true,
        Fate::Freed => false,
    };
    let row = sqlx::query!(
        r#"
        /* end_reservations */
        WITH ended AS (
            DELETE FROM reservation WHERE order_id = ANY ($1) RETURNING order_id, warehouse_id, sku, count
        ), total AS (
            SELECT sku, warehouse_id, sum(count)::integer AS count FROM ended GROUP BY sku, warehouse_id
        ), locked AS MATERIALIZED (
            SELECT stock.sku, stock.warehouse_id, total.count
            FROM stock JOIN total USING (sku, warehouse_id)
            ORDER BY stock.sku, stock.warehouse_id
            FOR UPDATE OF stock
        ), lowered AS (
            UPDATE stock
            SET reserved = stock.reserved - locked.count,
                on_hand = stock.on_hand - CASE WHEN $2 THEN locked.count ELSE 0 END
            FROM locked
            WHERE stock.sku = locked.sku AND stock.warehouse_id = locked.warehouse_id
            RETURNING locked.count
        )
        SELECT (SELECT count(DISTINCT order_id) FROM ended) AS "orders!",
               (SELECT coalesce(sum(count), 0) FROM ended) AS "units!",
               (SELECT coalesce(sum(count), 0) FROM ended) = (SELECT coalesce(sum(count), 0) FROM lowered) AS "even!"
        "#,
        &orders,
        leaves_stock,
    )
    .fetch_one(&mut *transaction)
    .await?;
    if !row.even {
        return Err(Failure::unforeseen("end_reservations ended other units than it took off the stock"));
    }
    let each_has_some = usize::try_from(row.orders) == Ok(orders.len());
    Ok(each_has_some.then_some(row.units.cast_unsigned()))
}
