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
    failure::{Error, Failure},
};
use proto::ids::{IdempotencyKey, OrderId, UserId};
use uuid::Uuid;

use super::Carts;
use crate::{
    clients,
    domain::purchase::{Audience, Outcome, Pending, Purchase, PurchaseId, PurchaseRefusal},
    store::{UserTransaction, cart_item, purchase},
};

#[derive(Debug, Clone)]
pub struct BuyCart {
    pub user: UserId,
    /// The caller's name for this purchase.
    pub key: Option<IdempotencyKey>,
}

impl Carts {
    /// Buys the cart. A failure may leave it in doubt whether there is an order.
    pub async fn purchase(&self, command: &BuyCart) -> Result<OrderId, Error<PurchaseRefusal>> {
        loop {
            // When the call's time is over, and some more, the background step takes up what it leaves pending.
            let given = deadline::remaining().unwrap_or_default().min(clients::loms::LONGEST);
            let attempt = |transaction| begin(transaction, command, given + self.resume_after);
            let begun = self.store.transact("begin_purchase", command.user, attempt).await?;
            let outcome = match begun {
                Some(Purchase::Settled(outcome)) => outcome,
                Some(Purchase::Pending(own)) if own.key == command.key => self.drive(&own, Audience::Caller).await?,
                Some(Purchase::Pending(other)) => {
                    // One purchase at a time: what the call asks for begins when this one has come to its end.
                    self.drive(&other, Audience::Nobody).await?;
                    continue;
                }
                None => return Err(Error::Refused(PurchaseRefusal::CartEmpty)),
            };
            return match outcome {
                Outcome::Ordered(order) => Ok(order),
                Outcome::Refused(refusal) => Err(Error::Refused(PurchaseRefusal::ByLoms(refusal))),
            };
        }
    }
}

/// Finds the purchase that the call asks for or has to wait for, or begins one; `None` if there is nothing to buy.
async fn begin(
    mut transaction: UserTransaction,
    BuyCart { user, key }: &BuyCart,
    resume_in: Duration,
) -> Result<Option<Purchase>, Failure> {
    if let Some(key) = key
        && let Some(found) = purchase::by_key(&mut transaction, key).await?
    {
        return Ok(Some(found));
    }
    if let Some(pending) = purchase::pending(&mut transaction).await? {
        return Ok(Some(pending));
    }
    let lines = cart_item::lines(&mut *transaction, *user).await?;
    if lines.is_empty() {
        // Without a key, an empty cart may mean that the caller tries again and the background step was faster.
        let untold = if key.is_none() { purchase::untold_order(&mut transaction).await? } else { None };
        let Some((id, order)) = untold else { return Ok(None) };
        purchase::mark_answered(&mut transaction, id).await?;
        transaction.commit().await?;
        return Ok(Some(Purchase::Settled(Outcome::Ordered(order))));
    }
    let id = PurchaseId(Uuid::now_v7());
    let pending = Pending { id, user: *user, key: key.clone(), lines };
    purchase::begin(&mut transaction, &pending, resume_in).await?;
    transaction.commit().await?;
    Ok(Some(Purchase::Pending(pending)))
}
