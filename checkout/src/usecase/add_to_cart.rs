//! Puts units of a SKU into a cart, if LOMS has as many to sell.

use platform::{failure::Failure, ids::UserId, postgres::retrying};

use crate::{
    clients::loms::Loms,
    domain::{
        Line,
        cart::{AddRefusal, Holdings},
    },
    metrics,
    store::Store,
};

/// Asks for it.
#[derive(Debug, Clone, Copy)]
pub struct AddToCart {
    /// Whose cart.
    pub user: UserId,
    /// What to add.
    pub line: Line,
}

/// Why nothing was added.
#[derive(Debug)]
pub enum AddToCartError {
    /// The rules of carts do not allow it.
    Refused(AddRefusal),
    /// Unforeseen.
    Failure(Failure),
}

/// Adds the line. Stock is not reserved by it; only an order does that.
pub async fn add_to_cart(store: &Store, loms: &Loms, command: AddToCart) -> Result<(), AddToCartError> {
    let AddToCart { user, line } = command;
    let available = loms.free_stock(line.sku).await.map_err(AddToCartError::Failure)?;
    retrying("add_to_cart", || add(store, user, line, available))
        .await
        .map_err(AddToCartError::Failure)?
        .map_err(AddToCartError::Refused)?;
    metrics::CART_CHANGES.with_label_values(&["add"]).inc();
    Ok(())
}

async fn add(store: &Store, user: UserId, line: Line, available: u64) -> Result<Result<(), AddRefusal>, Failure> {
    let mut transaction = store.begin("add_to_cart", user).await?;
    let holdings = Holdings::new(&transaction.cart().await?, &transaction.set_aside().await?);
    match holdings.add(line, available) {
        Ok(count) => {
            transaction.put_cart_line(Line { count, ..line }).await?;
            transaction.commit().await?;
            Ok(Ok(()))
        }
        Err(refusal) => Ok(Err(refusal)),
    }
}
