//! Takes the payment of an order: its reserved units leave the stock.

use chrono::{DateTime, Utc};
use platform::{failure::Failure, ids::OrderId, postgres::retrying};

use super::Orders;
use crate::{
    domain::{order::NotPayable, status::Status, transition::Transition},
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

impl Orders {
    /// Pays an order; for one that is paid already, nothing happens again.
    pub async fn pay(&self, order: OrderId) -> Result<(), PayError> {
        if let Some(transition) = retrying(NAME, || self.pay_once(order)).await?? {
            self.committed(&[transition]);
        }
        Ok(())
    }

    async fn pay_once(&self, order: OrderId) -> Result<Result<Option<Transition>, PayError>, Failure> {
        let mut transaction = self.database.begin(NAME).await?;
        let Some(found) = store::orders::lock(&mut transaction, order).await? else {
            return Ok(Err(PayError::NotFound));
        };
        let transition = match found.value.pay(found.now) {
            Ok(Some(transition)) => transition,
            Ok(None) => return Ok(Ok(None)),
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        reservations::end(&mut transaction, &[order], Fate::Sold).await?;
        store::apply(&mut transaction, std::slice::from_ref(&transition)).await?;
        transaction.commit().await?;
        Ok(Ok(Some(transition)))
    }
}
