//! The table `cart_item`: the lines of carts.

use platform::failure::Failure;
use proto::ids::UserId;
use sqlx::PgExecutor;

use crate::domain::Line;

/// The lines of a user's cart, by SKU.
pub async fn lines(on: impl PgExecutor<'_>, user: UserId) -> Result<Vec<Line>, Failure> {
    let rows = sqlx::query!("/* cart */ SELECT sku, count FROM cart_item WHERE user_id = $1 ORDER BY sku", user.get())
        .fetch_all(on)
        .await?;
    super::lines(rows.into_iter().map(|row| (row.sku, row.count)))
}
