//! How orders that await payment are paid and cancelled: their rows are locked together with the stock that they have
//! reserved, a rule of the domain allows each change or says why not, and what is allowed is applied.

use chrono::TimeDelta;
use platform::{
    failure::{Error, Failure},
    postgres::Transaction,
};
use proto::ids::OrderId;
use tracing::{Span, warn};

use super::{
    Orders,
    batch::{Asked, Command, Outcome, unexpected},
};
use crate::{
    domain::order::{Order, OrderRefusal},
    store::{self, Change, orders::LockedOrder},
};

/// What somebody wants of an order that awaits payment.
#[derive(Debug, Clone, Copy)]
pub struct ChangeOrder {
    pub order: OrderId,
    pub wish: Wish,
}

#[derive(Debug, Clone, Copy)]
pub enum Wish {
    Pay,
    Cancel,
}

pub type Changed = Result<(), OrderRefusal>;

/// A change that was made, and what else is counted about it.
#[derive(Debug)]
pub struct Made {
    pub change: Change,
    pub units: u64,
    /// The time since the order's creation.
    pub age: TimeDelta,
}

impl Orders {
    pub(super) async fn change(&self, command: ChangeOrder) -> Result<(), Error<OrderRefusal>> {
        match self.batches.call(Command::Change(command)).await? {
            Outcome::Changed(outcome) => outcome.map_err(Error::Refused),
            Outcome::Created(_) => Err(unexpected().into()),
        }
    }
}

/// Changes orders in a transaction, as if one by one. Answers the outcome of each call, `None` for an order that others
/// hold, or of whose stock they hold some; and what is to be counted when it is committed.
pub async fn change(
    transaction: &mut Transaction,
    calls: &[Asked<'_, ChangeOrder>],
) -> Result<(Vec<Option<Changed>>, Vec<Made>), Failure> {
    let orders: Vec<OrderId> = calls.iter().map(|call| call.command.order).collect();
    let mut found = store::orders::lock(transaction, &orders).await?;
    let (mut outcomes, mut made) = (Vec::with_capacity(calls.len()), Vec::new());
    for Asked { command: ChangeOrder { order, wish }, span } in calls {
        outcomes.push(match found.get_mut(order) {
            None => Some(Err(OrderRefusal::NotFound(*order))),
            Some(None) => None,
            Some(Some(locked)) => Some(decide(locked, *wish, span).map(|change| made.extend(change))),
        });
    }
    if !made.is_empty() {
        let changes: Vec<Change> = made.iter().map(|made| made.change.clone()).collect();
        let units = made.iter().map(|made| made.units).sum();
        store::apply(transaction, &changes, units).await?;
    }
    Ok((outcomes, made))
}

/// Changes the order in memory, for the calls that come after this one. `None` if there is nothing to change.
fn decide(locked: &mut LockedOrder, wish: Wish, span: &Span) -> Result<Option<Made>, OrderRefusal> {
    let LockedOrder { order, units, now, .. } = locked;
    let transition = match wish {
        Wish::Pay => order.pay(*now)?,
        Wish::Cancel => order.cancel()?,
    };
    let Some(transition) = transition else { return Ok(None) };
    let Some(units) = *units else {
        warn!(order.id = order.id.get(), "the order awaits payment and has lost its reservations");
        return Err(OrderRefusal::Inconsistent(order.id));
    };
    let Order { created_at, state, .. } = order;
    *state = transition.to().clone();
    Ok(Some(Made { change: Change { transition, span: span.clone() }, units, age: *now - *created_at }))
}
