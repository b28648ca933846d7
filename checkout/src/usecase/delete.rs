//! Takes units of a SKU off a cart.

use platform::failure::Error;
use proto::ids::UserId;

use super::Carts;
use crate::{
    domain::{
        Line,
        cart::{self, NotInCart},
    },
    metrics,
    store::{UserTransaction, cart_item},
};

#[derive(Debug, Clone, Copy)]
pub struct DeleteFromCart {
    pub user: UserId,
    /// What to take off; the line goes also when there is less of it.
    pub line: Line,
}

impl Carts {
    pub async fn delete(&self, DeleteFromCart { user, line }: DeleteFromCart) -> Result<(), Error<NotInCart>> {
        let attempt = |transaction| delete(transaction, line);
        self.store.transact("delete_from_cart", user, attempt).await?;
        metrics::CART_CHANGES.with(["delete"]).inc();
        Ok(())
    }
}

async fn delete(mut transaction: UserTransaction, line: Line) -> Result<(), Error<NotInCart>> {
    let held = cart_item::count(&mut transaction, line.sku).await?;
    let held = held.ok_or(Error::Refused(NotInCart(line.sku)))?;
    match cart::remove(held, line.count) {
        Some(count) => cart_item::put(&mut transaction, Line { count, ..line }).await?,
        None => cart_item::delete(&mut transaction, line.sku).await?,
    }
    transaction.commit().await?;
    Ok(())
}
