//! Buys everything in a cart, once.
//!
//! 1. One transaction moves the cart's lines into a pending purchase, or finds the purchase that the call asks for.
//! 2. Outside of any transaction, LOMS creates the order, with the purchase's id as its idempotency key.
//! 3. One transaction settles the purchase: it is ordered, or refused and its lines are back in the cart.
//!
//! A failure that leaves 2 in doubt leaves the purchase pending. The user's next call takes it from there, and so does
//! the background step. A call without a key that is repeated because its answer did not come finds an empty cart; it is
//! answered with the order, until a caller was told of it.

use platform::{deadline, failure::Error};
use proto::ids::{IdempotencyKey, OrderId, UserId};

use super::{
    Carts,
    batch::{self, Command, unexpected},
};
use crate::{
    clients,
    domain::{
        account::Found,
        purchase::{Outcome, Purchase, PurchaseId, PurchaseRefusal},
    },
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

impl Carts {
    /// Buys the cart. A failure may leave it in doubt whether there is an order.
    pub async fn purchase(&self, command: BuyCart) -> Result<Bought, Error<PurchaseRefusal>> {
        let BuyCart { user, key } = &command;
        if key.is_none() {
            self.telling.until_told(*user).await;
        }
        loop {
            // When the call's time is over, and some more, the background step takes up what it leaves pending.
            let given = deadline::remaining().unwrap_or_default().min(clients::loms::LONGEST);
            let begin = Command::Begin(command.clone(), given + self.resume_after);
            let batch::Outcome::Found(found) = self.batches.call(begin).await? else {
                return Err(unexpected().into());
            };
            let (outcome, untold) = match found {
                Found::Purchase(Purchase::Settled(outcome)) => (outcome, None),
                Found::Begun(own) => (self.drive(&own).await?, own.key.is_none().then_some(own.id)),
                Found::Purchase(Purchase::Pending(own)) if own.key == *key => {
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
