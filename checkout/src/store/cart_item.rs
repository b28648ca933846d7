//! The table `cart_item`: the lines of carts.

use platform::{
    failure::Failure,
    postgres::{expect_rows, read},
};
use proto::ids::{Count, Sku, UserId};
use sqlx::PgExecutor;

use super::UserTransaction;
use crate::domain::Line;

/// The lines of a user's cart, by SKU.
pub async fn lines(on: impl PgExecutor<'_>, user: UserId) -> Result<Vec<Line>, Failure> {
    let rows = sqlx::query!("/* cart */ SELECT sku, count FROM cart_item WHERE user_id = $1 ORDER BY sku", user.get())
        .fetch_all(on)
        .await?;
    super::lines(rows.into_iter().map(|row| (row.sku, row.count)))
}

/// How much of a SKU the cart holds; `None` for nothing.
pub async fn count(transaction: &mut UserTransaction, sku: Sku) -> Result<Option<Count>, Failure> {
    let user = transaction.user.get();
    let count = sqlx::query_scalar!(
        "/* cart_line */ SELECT count FROM cart_item WHERE user_id = $1 AND sku = $2",
        user,
        i64::from(sku)
    )
    .fetch_optional(&mut **transaction)
    .await?;
    count.map(read).transpose()
}

/// Makes the cart hold so much of a SKU.
pub async fn put(transaction: &mut UserTransaction, line: Line) -> Result<(), Failure> {
    let user = transaction.user.get();
    let put = sqlx::query!(
        r#"
        /* put_cart_line */
        INSERT INTO cart_item (user_id, sku, count) VALUES ($1, $2, $3)
        ON CONFLICT (user_id, sku) DO UPDATE SET count = EXCLUDED.count
        "#,
        user,
        i64::from(line.sku),
        line.count.get().cast_signed()
    )
    .execute(&mut **transaction)
    .await?;
    expect_rows("put_cart_line", 1, &put)
}

/// Takes a line out of the cart.
pub async fn delete(transaction: &mut UserTransaction, sku: Sku) -> Result<(), Failure> {
    let user = transaction.user.get();
    let deleted = sqlx::query!(
        "/* delete_cart_line */ DELETE FROM cart_item WHERE user_id = $1 AND sku = $2",
        user,
        i64::from(sku)
    )
    .execute(&mut **transaction)
    .await?;
    expect_rows("delete_cart_line", 1, &deleted)
}
