//! Brings a pending purchase to its end: has LOMS create its order, and writes down what became of it.
//!
//! Any number of calls and background steps, of any replica, may do this for the same purchase at the same time. The
//! purchase's id is the order's idempotency key, so all of them get the same answer from LOMS; the first to write it
//! down settles the purchase, and the others find it settled.

use platform::failure::Failure;

use super::Carts;
use crate::{
    clients::loms::CreateOrderError,
    domain::purchase::{Outcome, Pending, Purchase},
    metrics,
    store::{UserTransaction, purchase},
};

impl Carts {
    /// Drives the purchase to its end. When this fails the purchase may still be pending, and can be driven again.
    pub async fn drive(&self, pending: &Pending) -> Result<Outcome, Failure> {
        let outcome = match self.loms.create_order(pending).await {
            Ok(order) => Outcome::Ordered(order),
            Err(CreateOrderError::Refused(refusal)) => Outcome::Refused(refusal),
            Err(error @ CreateOrderError::BadRequest(_)) => return self.abandon(pending, error).await,
            Err(CreateOrderError::InDoubt(failure)) => {
                count("in_doubt");
                return Err(failure);
            }
        };
        let attempt = |transaction| settle(transaction, pending, &outcome);
        self.store.transact("settle_purchase", pending.user, attempt).await
    }

    /// For a request that LOMS would not read: a defect of ours, which must not cost the user the cart.
    async fn abandon(&self, pending: &Pending, error: CreateOrderError) -> Result<Outcome, Failure> {
        let attempt = |transaction| abandon(transaction, pending);
        let settled = self.store.transact("abandon_purchase", pending.user, attempt).await?;
        settled.ok_or_else(|| Failure::unforeseen(error))
    }
}

async fn settle(mut transaction: UserTransaction, pending: &Pending, outcome: &Outcome) -> Result<Outcome, Failure> {
    if !purchase::settle(&mut transaction, pending, outcome).await? {
        return settled_by_another(transaction, pending).await;
    }
    transaction.commit().await?;
    count(match outcome {
        Outcome::Ordered(_) => "ordered",
        Outcome::Refused(_) => "refused",
    });
    Ok(outcome.clone())
}

/// Answers the outcome if somebody else has settled the purchase meanwhile.
async fn abandon(mut transaction: UserTransaction, pending: &Pending) -> Result<Option<Outcome>, Failure> {
    if !purchase::abandon(&mut transaction, pending).await? {
        return settled_by_another(transaction, pending).await.map(Some);
    }
    transaction.commit().await?;
    count("abandoned");
    Ok(None)
}

async fn settled_by_another(mut transaction: UserTransaction, pending: &Pending) -> Result<Outcome, Failure> {
    match purchase::by_id(&mut transaction, pending.id).await? {
        Some(Purchase::Settled(outcome)) => Ok(outcome),
        Some(Purchase::Pending(_)) => Err(Failure::unforeseen("a purchase is pending and was not when it was settled")),
        None => Err(Failure::unforeseen("the purchase was abandoned, as LOMS would not read its request")),
    }
}

fn count(outcome: &str) {
    metrics::PURCHASES.with([outcome]).inc();
}
