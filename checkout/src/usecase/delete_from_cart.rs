//! Takes units of a SKU off a cart.

use platform::{failure::Failure, ids::UserId, postgres::retrying};

use crate::{
    domain::{Line, cart},
    metrics,
    store::Store,
};

/// Asks for it.
#[derive(Debug, Clone, Copy)]
pub struct DeleteFromCart {
    /// Whose cart.
    pub user: UserId,
    /// What to take off; the line goes also when there is less of it.
    pub line: Line,
}

/// Why nothing was taken off.
#[derive(Debug)]
pub enum DeleteFromCartError {
    /// The SKU is not in the cart.
    NotInCart,
    /// Unforeseen.
    Failure(Failure),
}

/// Takes the line off.
pub async fn delete_from_cart(store: &Store, command: DeleteFromCart) -> Result<(), DeleteFromCartError> {
    let was_there =
        retrying("delete_from_cart", || delete(store, command)).await.map_err(DeleteFromCartError::Failure)?;
    if !was_there {
        return Err(DeleteFromCartError::NotInCart);
    }
    metrics::CART_CHANGES.with_label_values(&["delete"]).inc();
    Ok(())
}

async fn delete(store: &Store, DeleteFromCart { user, line }: DeleteFromCart) -> Result<bool, Failure> {
    let mut transaction = store.begin("delete_from_cart", user).await?;
    let Some(held) = transaction.cart_line(line.sku).await? else { return Ok(false) };
    match cart::remove(held, line.count) {
        Some(count) => transaction.put_cart_line(Line { count, ..line }).await?,
        None => transaction.delete_cart_line(line.sku).await?,
    }
    transaction.commit().await?;
    Ok(true)
}
