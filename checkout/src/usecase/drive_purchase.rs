//! Brings a pending purchase to its end: has LOMS create its order, and writes down what became of it.
//!
//! Any number of calls and background steps, of any replica, may do this for the same purchase at the same time. The
//! purchase's id is the order's idempotency key, so all of them get the same answer from LOMS; the first to write it
//! down settles the purchase, and the others find it settled.

use platform::{failure::Failure, postgres::retrying};

use crate::{
    clients::loms::{CreateOrderError, Loms},
    domain::purchase::{Audience, Outcome, Pending},
    metrics,
    store::{Found, Store, UserTransaction},
};

/// Drives the purchase to its end. When this fails the purchase may still be pending, and can be driven again.
pub async fn drive_purchase(
    store: &Store,
    loms: &Loms,
    purchase: &Pending,
    audience: Audience,
) -> Result<Outcome, Failure> {
    match loms.create_order(purchase).await {
        Ok(order) => settle(store, purchase, Outcome::Ordered(order), audience).await,
        Err(CreateOrderError::Refused(refusal)) => settle(store, purchase, Outcome::Refused(refusal), audience).await,
        Err(error @ CreateOrderError::BadRequest(_)) => abandon(store, purchase, error, audience).await,
        Err(CreateOrderError::InDoubt(failure)) => {
            count("in_doubt");
            Err(failure)
        }
    }
}

async fn settle(store: &Store, purchase: &Pending, outcome: Outcome, audience: Audience) -> Result<Outcome, Failure> {
    let attempt = || async {
        let mut transaction = store.begin("settle_purchase", purchase.user).await?;
        if !transaction.settle(purchase, &outcome, audience).await? {
            return settled_by_another(transaction, purchase, audience).await;
        }
        transaction.commit().await?;
        count(match outcome {
            Outcome::Ordered(_) => "ordered",
            Outcome::Refused(_) => "refused",
        });
        Ok(outcome.clone())
    };
    retrying("settle_purchase", attempt).await
}

/// For a request that LOMS would not read: a defect of ours, which must not cost the user the cart.
async fn abandon(
    store: &Store,
    purchase: &Pending,
    error: CreateOrderError,
    audience: Audience,
) -> Result<Outcome, Failure> {
    let attempt = || async {
        let mut transaction = store.begin("abandon_purchase", purchase.user).await?;
        if !transaction.abandon(purchase).await? {
            return settled_by_another(transaction, purchase, audience).await.map(Some);
        }
        transaction.commit().await?;
        count("abandoned");
        Ok(None)
    };
    match retrying("abandon_purchase", attempt).await? {
        Some(outcome) => Ok(outcome),
        None => Err(Failure::unforeseen(error)),
    }
}

async fn settled_by_another(
    mut transaction: UserTransaction,
    purchase: &Pending,
    audience: Audience,
) -> Result<Outcome, Failure> {
    match transaction.purchase(purchase.id).await? {
        Some(Found::Settled(outcome)) => {
            if audience.is_told() {
                transaction.mark_answered(purchase.id).await?;
                transaction.commit().await?;
            }
            Ok(outcome)
        }
        Some(Found::Pending(_)) => Err(Failure::unforeseen("a purchase is pending and was not when it was settled")),
        None => Err(Failure::unforeseen("the purchase was abandoned, as LOMS would not read its request")),
    }
}

fn count(outcome: &str) {
    metrics::PURCHASES.with_label_values(&[outcome]).inc();
}
