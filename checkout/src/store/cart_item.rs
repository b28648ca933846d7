//! The lines of carts.

use platform::{
    failure::Failure,
    ids::{Count, Sku, UserId},
};

use super::{LineRow, Store, UserTransaction, expect_rows, lines};
use crate::domain::Line;

impl Store {
    /// The lines of a user's cart, by SKU, as they are now.
    pub async fn cart(&self, user: UserId) -> Result<Vec<Line>, Failure> {
        let rows = sqlx::query_as!(
            LineRow,
            "/* cart */ SELECT sku, count FROM cart_item WHERE user_id = $1 ORDER BY sku",
            user.get()
        )
        .fetch_all(&mut self.database.single("cart").await?)
        .await?;
        lines(rows)
    }
}

impl UserTransaction {
    /// The lines of the cart, by SKU.
    pub async fn cart(&mut self) -> Result<Vec<Line>, Failure> {
        let rows = sqlx::query_as!(
            LineRow,
            "/* cart_of_user */ SELECT sku, count FROM cart_item WHERE user_id = $1 ORDER BY sku",
            self.user.get()
        )
        .fetch_all(&mut self.transaction)
        .await?;
        lines(rows)
    }

    /// How much of a SKU the cart holds; `None` for nothing.
    pub async fn cart_line(&mut self, sku: Sku) -> Result<Option<Count>, Failure> {
        let row = sqlx::query_as!(
            LineRow,
            "/* cart_line */ SELECT sku, count FROM cart_item WHERE user_id = $1 AND sku = $2",
            self.user.get(),
            i64::from(sku)
        )
        .fetch_optional(&mut self.transaction)
        .await?;
        Ok(lines(row.into_iter().collect())?.first().map(|line| line.count))
    }

    /// Makes the cart hold so much of a SKU.
    pub async fn put_cart_line(&mut self, line: Line) -> Result<(), Failure> {
        let result = sqlx::query!(
            "/* put_cart_line */ INSERT INTO cart_item (user_id, sku, count) VALUES ($1, $2, $3)
             ON CONFLICT (user_id, sku) DO UPDATE SET count = EXCLUDED.count",
            self.user.get(),
            i64::from(line.sku),
            units(line.count)
        )
        .execute(&mut self.transaction)
        .await?;
        expect_rows("put_cart_line", 1, &result)
    }

    /// Takes a line out of the cart.
    pub async fn delete_cart_line(&mut self, sku: Sku) -> Result<(), Failure> {
        let result = sqlx::query!(
            "/* delete_cart_line */ DELETE FROM cart_item WHERE user_id = $1 AND sku = $2",
            self.user.get(),
            i64::from(sku)
        )
        .execute(&mut self.transaction)
        .await?;
        expect_rows("delete_cart_line", 1, &result)
    }
}

/// At most 65,535, so it fits.
fn units(count: Count) -> i32 {
    count.get().cast_signed()
}
