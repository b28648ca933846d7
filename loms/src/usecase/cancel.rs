//! Cancels an order that awaits payment: its reserved units are free again.

use platform::{failure::Failure, ids::OrderId, postgres::retrying};

use tracing::Span;

use super::Orders;
use crate::{
    domain::{order::NotCancellable, status::Status, transition::Transition},
    metrics::Units,
    store::{
        self,
        reservations::{self, Fate},
    },
};

/// The name of the transaction.
const NAME: &str = "cancel_order";

/// Why an order is not cancelled.
#[derive(Debug, Clone)]
pub enum CancelError {
    /// There is no such order.
    NotFound,
    /// It does not await payment.
    NotCancellable(Status),
    /// The unforeseen.
    Failure(Failure),
}

impl From<Failure> for CancelError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Orders {
    /// Cancels an order; for one that is cancelled already, nothing happens again.
    pub async fn cancel(&self, order: OrderId) -> Result<(), CancelError> {
        if let Some((transition, units)) = retrying(NAME, || self.cancel_once(order)).await?? {
            self.committed([&transition], Units::Freed(units));
        }
        Ok(())
    }

    async fn cancel_once(&self, order: OrderId) -> Result<Result<Option<(Transition, u64)>, CancelError>, Failure> {
        let mut transaction = self.database.begin(NAME).await?;
        let Some(found) = store::orders::lock(&mut transaction, order).await? else {
            return Ok(Err(CancelError::NotFound));
        };
        let transition = match found.value.cancel() {
            Ok(Some(transition)) => transition,
            Ok(None) => return Ok(Ok(None)),
            Err(NotCancellable(status)) => return Ok(Err(CancelError::NotCancellable(status))),
        };
        let units = reservations::end(&mut transaction, &[order], Fate::Freed).await?;
        let change = (transition, Span::current());
        store::apply(&mut transaction, std::slice::from_ref(&change)).await?;
        transaction.commit().await?;
        Ok(Ok(Some((change.0, units))))
    }
}
