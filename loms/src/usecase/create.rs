//! Creates an order: every line is reserved in full and it awaits payment, or nothing is and it fails. Either is kept.

use platform::{
    failure::Failure,
    ids::{IdempotencyKey, OrderId, UserId},
    postgres::retrying,
};

use tracing::Span;

use super::Orders;
use crate::{
    domain::{
        lines::Lines,
        order::State,
        plan::{Shortage, plan},
        transition::Transition,
    },
    metrics::Units,
    store,
};

/// The name of the transaction.
const NAME: &str = "create_order";

/// What a customer orders.
#[derive(Debug, Clone)]
pub struct CreateOrder {
    /// The customer.
    pub user: UserId,
    /// What they want.
    pub lines: Lines,
    /// Their name for this order, by which they get the same one again.
    pub key: Option<IdempotencyKey>,
}

/// Why there is no order that awaits payment.
#[derive(Debug, Clone)]
pub enum CreateOrderError {
    /// Free stock does not cover a line.
    InsufficientStock {
        /// The order, which is kept as failed.
        order: OrderId,
        /// The line.
        shortage: Shortage,
    },
    /// The unforeseen.
    Failure(Failure),
}

impl From<Failure> for CreateOrderError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// An order as the transaction leaves it.
enum Outcome {
    Created(Transition, Units),
    Repeated(OrderId, State),
}

impl Orders {
    /// Creates an order, or answers the one that the customer's key names already, with the outcome it had.
    pub async fn create(&self, command: &CreateOrder) -> Result<OrderId, CreateOrderError> {
        let (order, state) = match retrying(NAME, || self.create_once(command)).await? {
            Outcome::Created(transition, units) => {
                self.committed([&transition], units);
                (transition.order(), transition.to().clone())
            }
            Outcome::Repeated(order, state) => (order, state),
        };
        match state {
            State::Failed(shortage) => Err(CreateOrderError::InsufficientStock { order, shortage }),
            State::New | State::AwaitingPayment | State::Paid | State::Cancelled => Ok(order),
        }
    }

    async fn create_once(&self, command: &CreateOrder) -> Result<Outcome, Failure> {
        let CreateOrder { user, lines, key } = command;
        let mut transaction = self.database.begin(NAME).await?;
        let new = store::orders::insert(&mut transaction, *user, key.as_ref(), lines, self.payment_timeout).await?;
        let Some(new) = new else {
            let key = key.as_ref().ok_or_else(|| Failure::unforeseen("an order without a key is always written"))?;
            let order = store::orders::by_key(&mut transaction, *user, key).await?;
            let order = order.ok_or_else(|| Failure::unforeseen("orders are never deleted"))?;
            return Ok(Outcome::Repeated(order.id, order.state));
        };
        let free = store::stock::lock_free(&mut transaction, lines).await?;
        let plan = plan(lines, &free);
        let reservations = plan.as_deref().unwrap_or_default();
        if !reservations.is_empty() {
            store::reservations::insert(&mut transaction, new.id, reservations).await?;
        }
        let reserved = reservations.iter().map(|reservation| u64::from(reservation.count.get())).sum();
        let change = (new.settle(&plan), Span::current());
        store::apply(&mut transaction, std::slice::from_ref(&change)).await?;
        transaction.commit().await?;
        Ok(Outcome::Created(change.0, Units::Reserved(reserved)))
    }
}
