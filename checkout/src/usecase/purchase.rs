//! Buys everything in a cart, once.
//!
//! 1. One transaction moves the cart's lines into a pending purchase, or finds the purchase that the call asks for.
//! 2. Outside of any transaction, LOMS creates the order, with the purchase's id as its idempotency key.
//! 3. One transaction settles the purchase: it is ordered, or refused and its lines are back in the cart.
//!
//! A failure that leaves 2 in doubt leaves the purchase pending. The user's next call takes it from there, and so does
//! the background step. A call without a key that is repeated because its answer did not come finds an empty cart; it is
//! answered with the order, until a caller was told of it.

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
    domain::purchase::{Outcome, Pending, Purchase, PurchaseId, PurchaseRefusal},
    store::{UserTransaction, cart_item, purchase},
};

#[derive(Debug, Clone)]
pub struct BuyCart {
    pub user: UserId,
    /// The caller's name for this purchase.
    pub key: Option<IdempotencyKey>,
}

/// An order that a cart became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bought {
    pub order: OrderId,
    /// The purchase to [`tell`](Carts::tell) of when the answer is on its way; `None` if its key finds it anyway.
    pub untold: Option<PurchaseId>,
}

/// What a call finds.
enum Found {
    Purchase(Purchase),
    /// The order of a purchase without a key whose caller was not told.
    Untold(PurchaseId, OrderId),
    NothingToBuy,
}

impl Carts {
    /// Buys the cart. A failure may leave it in doubt whether there is an order.
    pub async fn purchase(&self, command: &BuyCart) -> Result<Bought, Error<PurchaseRefusal>> {
        if command.key.is_none() {
            self.telling.until_told(command.user).await;
        }
        loop {
            // When the call's time is over, and some more, the background step takes up what it leaves pending.
            let given = deadline::remaining().unwrap_or_default().min(clients::loms::LONGEST);
            let attempt = |transaction| begin(transaction, command, given + self.resume_after);
            let begun = self.store.transact("begin_purchase", command.user, attempt).await?;
            let (outcome, untold) = match begun {
                Found::Purchase(Purchase::Settled(outcome)) => (outcome, None),
                Found::Purchase(Purchase::Pending(own)) if own.key == command.key => {
                    (self.drive(&own).await?, own.key.is_none().then_some(own.id))
                }
                Found::Purchase(Purchase::Pending(other)) => {
                    // One purchase at a time: what the call asks for begins when this one has come to its end.
                    self.drive(&other).await?;
                    continue;
                }
                Found::Untold(id, order) => (Outcome::Ordered(order), Some(id)),
                Found::NothingToBuy => return Err(Error::Refused(PurchaseRefusal::CartEmpty)),
            };
            return match outcome {
                Outcome::Ordered(order) => Ok(Bought { order, untold }),
                Outcome::Refused(refusal) => Err(Error::Refused(PurchaseRefusal::ByLoms(refusal))),
            };
        }
    }
}

/// Finds the purchase that the call asks for or has to wait for, or begins one.
async fn begin(
    mut transaction: UserTransaction,
    BuyCart { user, key }: &BuyCart,
    resume_in: Duration,
) -> Result<Found, Failure> {
    if let Some(key) = key
        && let Some(found) = purchase::by_key(&mut transaction, key).await?
    {
        return Ok(Found::Purchase(found));
    }
    if let Some(pending) = purchase::pending(&mut transaction).await? {
        return Ok(Found::Purchase(pending));
    }
    let lines = cart_item::lines(&mut *transaction, *user).await?;
    if lines.is_empty() {
        // Without a key, an empty cart may mean that the caller tries again.
        let untold = if key.is_none() { purchase::untold_order(&mut transaction).await? } else { None };
        return Ok(untold.map_or(Found::NothingToBuy, |(id, order)| Found::Untold(id, order)));
    }
    let id = PurchaseId(Uuid::now_v7());
    let pending = Pending { id, user: *user, key: key.clone(), lines };
    purchase::begin(&mut transaction, &pending, resume_in).await?;
    transaction.commit().await?;
    Ok(Found::Purchase(Purchase::Pending(pending)))
}
