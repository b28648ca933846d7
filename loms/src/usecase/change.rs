//! How orders that await payment are paid and cancelled, many in one transaction: their rows are locked together with the
//! stock that they have reserved, a rule of the domain allows each change or says why not, and what is allowed is applied.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use platform::{
    batches::{Batch, Call, Locks},
    failure::Failure,
    postgres::{Database, Transaction},
    worker::Wake,
};
use proto::ids::OrderId;
use tracing::{Span, warn};

use crate::{
    domain::{
        order::{Order, OrderRefusal},
        status::State,
    },
    metrics,
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

#[derive(Debug)]
pub struct Changes {
    pub database: Database,
    /// Woken when there are events to publish.
    pub relay: Wake,
}

/// A change, and what else is counted about it.
#[derive(Debug)]
struct Changed {
    change: Change,
    units: u64,
    /// The time since the order's creation.
    age: TimeDelta,
}

type Outcome = Result<(), OrderRefusal>;

impl Batch for Changes {
    const NAME: &'static str = "change_orders";
    type Call = ChangeOrder;
    type Outcome = Outcome;

    async fn run(&self, calls: &[Call<ChangeOrder>], locks: Locks) -> Result<Vec<Option<Outcome>>, Failure> {
        let attempt = |transaction| change(transaction, calls, locks);
        let (outcomes, changed) = self.database.transact(Self::NAME, attempt).await?;
        for Changed { change, units, age } in &changed {
            metrics::count(&change.transition, *units);
            if *change.transition.to() == State::Paid {
                metrics::TIME_TO_PAYMENT_SECONDS.observe(age.as_seconds_f64());
            }
        }
        if !changed.is_empty() {
            self.relay.wake();
        }
        Ok(outcomes)
    }
}

async fn change(
    mut transaction: Transaction,
    calls: &[Call<ChangeOrder>],
    locks: Locks,
) -> Result<(Vec<Option<Outcome>>, Vec<Changed>), Failure> {
    let orders: BTreeSet<OrderId> = calls.iter().map(|call| call.command.order).collect();
    let orders: Vec<OrderId> = orders.into_iter().collect();
    if locks == Locks::Wait {
        store::orders::wait_for(&mut transaction, &orders).await?;
    }
    let mut found = store::orders::lock(&mut transaction, &orders).await?;
    let (mut outcomes, mut changed) = (Vec::with_capacity(calls.len()), Vec::new());
    for Call { command: ChangeOrder { order, wish }, span } in calls {
        outcomes.push(match found.get_mut(order) {
            None => Some(Err(OrderRefusal::NotFound(*order))),
            Some(None) => None,
            Some(Some(locked)) => Some(decide(locked, *wish, span).map(|change| changed.extend(change))),
        });
    }
    if changed.is_empty() {
        transaction.release().await?;
    } else {
        let changes: Vec<Change> = changed.iter().map(|changed| changed.change.clone()).collect();
        let units = changed.iter().map(|changed| changed.units).sum();
        store::apply(&mut transaction, &changes, units).await?;
        transaction.commit().await?;
    }
    Ok((outcomes, changed))
}

/// Changes the order in memory, for the calls that come after this one. `None` if there is nothing to change.
fn decide(locked: &mut LockedOrder, wish: Wish, span: &Span) -> Result<Option<Changed>, OrderRefusal> {
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
    Ok(Some(Changed { change: Change { transition, span: span.clone() }, units, age: *now - *created_at }))
}
