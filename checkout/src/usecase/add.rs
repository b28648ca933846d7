//! Puts units of a SKU into a cart, if LOMS has as many to sell.

use platform::failure::Error;
use proto::ids::UserId;

use super::Carts;
use crate::{
    domain::{
        Line,
        cart::{AddRefusal, Holdings},
    },
    metrics,
    store::{UserTransaction, cart_item, purchase},
};

#[derive(Debug, Clone, Copy)]
pub struct AddToCart {
    pub user: UserId,
    pub line: Line,
}

impl Carts {
    /// Adds the line. Stock is not reserved by it; only an order does that.
    pub async fn add(&self, AddToCart { user, line }: AddToCart) -> Result<(), Error<AddRefusal>> {
        let available = self.loms.free_stock(line.sku).await?;
        let attempt = |transaction| add(transaction, line, available);
        self.store.transact("add_to_cart", user, attempt).await?;
        metrics::CART_CHANGES.with(["add"]).inc();
        Ok(())
    }
}

async fn add(mut transaction: UserTransaction, line: Line, available: u64) -> Result<(), Error<AddRefusal>> {
    let user = transaction.user();
    let in_cart = cart_item::lines(&mut *transaction, user).await?;
    let set_aside = purchase::set_aside(&mut transaction).await?;
    let count = Holdings::new(&in_cart, &set_aside).add(line, available).map_err(Error::Refused)?;
    cart_item::put(&mut transaction, Line { count, ..line }).await?;
    transaction.commit().await?;
    Ok(())
}
