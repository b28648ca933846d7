//! Creates an order: every line is reserved in full and it awaits payment, or nothing is and it fails. Either is kept.

use std::time::Duration;

use platform::{
    failure::{Error, Failure},
    postgres::Transaction,
};
use proto::ids::{IdempotencyKey, OrderId, UserId};

use super::Orders;
use crate::{
    domain::{
        lines::Lines,
        plan::{Shortage, plan},
        status::State,
    },
    metrics,
    store::{self, Change},
};

/// What a customer orders.
#[derive(Debug, Clone)]
pub struct CreateOrder {
    pub user: UserId,
    pub lines: Lines,
    /// The customer's name for this order, by which they get the same one again.
    pub key: Option<IdempotencyKey>,
}

#[derive(Debug, Clone)]
pub enum CreateRefusal {
    /// Free stock does not cover a line. The order is kept as failed.
    InsufficientStock { order: OrderId, shortage: Shortage },
    /// The key names an order of other lines.
    KeyReused { order: OrderId },
}

/// An order as the transaction leaves it.
enum Written {
    New { change: Change, reserved: u64 },
    Known { order: OrderId, state: State },
}

impl Orders {
    /// Creates an order, or answers the one that the customer's key names already, with the outcome it had.
    pub async fn create(&self, command: &CreateOrder) -> Result<OrderId, Error<CreateRefusal>> {
        // A buyer who waits for the rows of a SKU must hold no connection that buyers of others need.
        let _turn = self.turns.skus.take(command.lines.iter().map(|line| line.sku).collect()).await;
        let attempt = |transaction| write(transaction, command, self.payment_timeout);
        let (order, state) = match self.database.transact("create_order", attempt).await? {
            Written::New { change: Change { transition, .. }, reserved } => {
                metrics::count(&transition);
                metrics::count_reserved(reserved);
                self.relay.wake();
                (transition.order(), transition.to().clone())
            }
            Written::Known { order, state } => (order, state),
        };
        match state.shortage() {
            Some(shortage) => Err(Error::Refused(CreateRefusal::InsufficientStock { order, shortage })),
            None => Ok(order),
        }
    }
}

async fn write(
    mut transaction: Transaction,
    CreateOrder { user, lines, key }: &CreateOrder,
    payment_timeout: Duration,
) -> Result<Written, Error<CreateRefusal>> {
    let new = store::orders::insert(&mut transaction, *user, key.as_ref(), lines, payment_timeout).await?;
    let Some(new) = new else {
        let key = key.as_ref().ok_or_else(|| Failure::unforeseen("an order without a key is always written"))?;
        let order = store::orders::by_key(&mut transaction, *user, key).await?;
        let (order, known) = order.ok_or_else(|| Failure::unforeseen("orders are never deleted"))?;
        if !known.into_iter().eq(lines.iter()) {
            return Err(Error::Refused(CreateRefusal::KeyReused { order: order.id }));
        }
        return Ok(Written::Known { order: order.id, state: order.state });
    };
    let free = store::stock::lock_free(&mut transaction, lines).await?;
    let plan = plan(lines, &free);
    let reservations = plan.as_deref().unwrap_or_default();
    if !reservations.is_empty() {
        store::reservation::insert(&mut transaction, new.id, reservations).await?;
    }
    let reserved = reservations.iter().map(|reservation| u64::from(reservation.count.get())).sum();
    let change = Change::new(new.decide(&plan));
    store::apply(&mut transaction, std::slice::from_ref(&change)).await?;
    transaction.commit().await?;
    Ok(Written::New { change, reserved })
}
