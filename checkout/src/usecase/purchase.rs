//! Buys everything in a cart, once.
//!
//! 1. One transaction moves the cart's lines into a pending purchase, or finds the purchase that the call asks for.
//! 2. Outside of any transaction, LOMS creates the order, with the purchase's id as its idempotency key.
//! 3. One transaction settles the purchase: it is ordered, or refused and its lines are back in the cart.
//!
//! A failure that leaves 2 in doubt leaves the purchase pending. The user's next call takes it from there, and so does
//! the background step.

use std::time::Duration;

use platform::{
    deadline,
    failure::Failure,
    ids::{IdempotencyKey, OrderId, UserId},
    postgres::retrying,
    refusal::Refusal,
};

use super::drive_purchase::drive_purchase;
use crate::{
    clients::{self, loms::Loms},
    domain::purchase::{Audience, Outcome, Pending, PurchaseId},
    store::{Found, Store},
};

/// Asks for it.
#[derive(Debug, Clone)]
pub struct Purchase {
    /// Who buys.
    pub user: UserId,
    /// The caller's name for this purchase.
    pub key: Option<IdempotencyKey>,
}

/// Why there is no order, or none yet.
#[derive(Debug)]
pub enum PurchaseError {
    /// There is nothing to buy.
    CartEmpty,
    /// LOMS refused the order; the lines are back in the cart.
    Refused(Refusal),
    /// Unforeseen; it may be in doubt whether there is an order.
    Failure(Failure),
}

/// Buys the cart. `resume_after` is how long after the call's deadline the background step takes a purchase up that
/// the call leaves pending.
pub async fn purchase(
    store: &Store,
    loms: &Loms,
    resume_after: Duration,
    command: Purchase,
) -> Result<OrderId, PurchaseError> {
    let key = command.key.as_ref();
    loop {
        let resume_in = deadline::remaining().unwrap_or_default().min(clients::loms::LONGEST) + resume_after;
        let begun = retrying("begin_purchase", || begin(store, &command, resume_in));
        let outcome = match begun.await.map_err(PurchaseError::Failure)? {
            Some(Found::Settled(outcome)) => outcome,
            Some(Found::Pending(own)) if own.is_asked_for_by(key) => {
                drive_purchase(store, loms, &own, Audience::Caller).await.map_err(PurchaseError::Failure)?
            }
            Some(Found::Pending(other)) => {
                // One purchase at a time: what the call asks for begins when this one has come to its end.
                drive_purchase(store, loms, &other, Audience::Nobody).await.map_err(PurchaseError::Failure)?;
                continue;
            }
            None => return Err(PurchaseError::CartEmpty),
        };
        return match outcome {
            Outcome::Ordered(order) => Ok(order),
            Outcome::Refused(refusal) => Err(PurchaseError::Refused(refusal)),
        };
    }
}

/// Finds the purchase that the call asks for or has to wait for, or begins one; `None` if there is nothing to buy.
async fn begin(store: &Store, command: &Purchase, resume_in: Duration) -> Result<Option<Found>, Failure> {
    let mut transaction = store.begin("begin_purchase", command.user).await?;
    if let Some(key) = &command.key
        && let Some(found) = transaction.purchase_of_key(key).await?
    {
        return Ok(Some(found));
    }
    if let Some(pending) = transaction.pending_purchase().await? {
        return Ok(Some(Found::Pending(pending)));
    }
    let lines = transaction.cart().await?;
    if lines.is_empty() {
        // Without a key, an empty cart may mean that the caller tries again and the background step was faster.
        let untold = if command.key.is_none() { transaction.untold_order().await? } else { None };
        let Some((id, order)) = untold else { return Ok(None) };
        transaction.mark_answered(id).await?;
        transaction.commit().await?;
        return Ok(Some(Found::Settled(Outcome::Ordered(order))));
    }
    let pending = Pending { id: PurchaseId::generate(), user: command.user, key: command.key.clone(), lines };
    transaction.begin_purchase(&pending, resume_in).await?;
    transaction.commit().await?;
    Ok(Some(Found::Pending(pending)))
}
