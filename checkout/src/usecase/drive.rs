//! Brings a pending purchase to its end: has LOMS create its order, and writes down what became of it.
//!
//! Any number of calls and background steps, of any replica, may do this for the same purchase at the same time. The
//! purchase's id is the order's idempotency key, so all of them get the same answer from LOMS; the first to write it
//! down settles the purchase, and the others find it settled.

use platform::failure::Failure;

use super::{
    Carts,
    batch::{self, Command, unexpected},
};
use crate::{
    clients::loms::CreateOrderError,
    domain::{
        account::{End, Ended},
        purchase::{Outcome, Pending},
    },
    metrics,
};

impl Carts {
    /// Drives the purchase to its end. When this fails the purchase may still be pending, and can be driven again.
    pub async fn drive(&self, pending: &Pending) -> Result<Outcome, Failure> {
        let settled = match self.loms.create_order(pending).await {
            Ok(order) => self.end(pending, End::Settled(Outcome::Ordered(order))).await?,
            Err(CreateOrderError::Refused(refusal)) => {
                self.end(pending, End::Settled(Outcome::Refused(refusal))).await?
            }
            // A defect of ours, which must not cost the user the cart.
            Err(error @ CreateOrderError::BadRequest(_)) => match self.end(pending, End::Abandoned).await? {
                End::Abandoned => return Err(Failure::unforeseen(error)),
                settled @ End::Settled(_) => settled,
            },
            Err(CreateOrderError::InDoubt(failure)) => {
                metrics::PURCHASES.with(["in_doubt"]).inc();
                return Err(failure);
            }
        };
        match settled {
            End::Settled(outcome) => Ok(outcome),
            End::Abandoned => {
                Err(Failure::unforeseen("the purchase was abandoned, as LOMS would not read its request"))
            }
        }
    }

    /// Answers how the purchase has ended, in this call or before.
    async fn end(&self, pending: &Pending, end: End) -> Result<End, Failure> {
        let command = Command::End(pending.clone(), end);
        let batch::Outcome::Ended(Ended { end, .. }) = self.batches.call(command).await? else {
            return Err(unexpected());
        };
        Ok(end)
    }
}
