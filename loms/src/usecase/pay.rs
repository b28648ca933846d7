//! Takes the payment of an order: its reserved units leave the stock.

use chrono::{DateTime, TimeDelta, Utc};
use platform::{failure::Failure, ids::OrderId, postgres::retrying};

use tracing::Span;

use super::Orders;
use crate::{
    domain::{order::NotPayable, status::Status, transition::Transition},
    metrics::{self, Units},
    store::{
        self,
        reservations::{self, Fate},
    },
};

/// The name of the transaction.
const NAME: &str = "pay_order";

/// Why an order is not paid.
#[derive(Debug, Clone)]
pub enum PayError {
    /// There is no such order.
    NotFound,
    /// Its payment deadline has passed.
    Expired {
        /// The deadline.
        pay_before: DateTime<Utc>,
        /// Its status.
        status: Status,
    },
    /// It does not await payment.
    NotPayable(Status),
    /// The unforeseen.
    Failure(Failure),
}

impl From<Failure> for PayError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<NotPayable> for PayError {
    fn from(refusal: NotPayable) -> Self {
        match refusal {
            NotPayable::Expired { pay_before, status } => Self::Expired { pay_before, status },
            NotPayable::Status(status) => Self::NotPayable(status),
        }
    }
}

/// A payment that was taken.
struct Paid {
    transition: Transition,
    units: u64,
    /// Since the order's creation.
    after: TimeDelta,
}

impl Orders {
    /// Pays an order; for one that is paid already, nothing happens again.
    pub async fn pay(&self, order: OrderId) -> Result<(), PayError> {
        if let Some(paid) = retrying(NAME, || self.pay_once(order)).await?? {
            self.committed([&paid.transition], Units::Paid(paid.units));
            metrics::observe_payment(paid.after);
        }
        Ok(())
    }

    async fn pay_once(&self, order: OrderId) -> Result<Result<Option<Paid>, PayError>, Failure> {
        let mut transaction = self.database.begin(NAME).await?;
        let Some(found) = store::orders::lock(&mut transaction, order).await? else {
            return Ok(Err(PayError::NotFound));
        };
        let transition = match found.value.pay(found.now) {
            Ok(Some(transition)) => transition,
            Ok(None) => return Ok(Ok(None)),
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        let units = reservations::end(&mut transaction, &[order], Fate::Sold).await?;
        let change = (transition, Span::current());
        store::apply(&mut transaction, std::slice::from_ref(&change)).await?;
        transaction.commit().await?;
        Ok(Ok(Some(Paid { transition: change.0, units, after: found.now - found.value.created_at })))
    }
}
