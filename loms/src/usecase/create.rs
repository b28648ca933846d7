//! Creates orders: every line of an order is reserved in full and it awaits payment, or nothing is and it fails. Either is
//! kept.

use std::{collections::HashMap, time::Duration};

use platform::{
    failure::{Error, Failure},
    postgres::Transaction,
};
use proto::ids::{IdempotencyKey, OrderId, Sku, UserId};

use super::{
    Orders,
    batch::{Asked, Command, Outcome, unexpected},
};
use crate::{
    domain::{
        lines::{Line, Lines},
        plan::{Free, Shortage},
        status::State,
    },
    store::{self, Change, CreatedOrder, orders::Found, stock::LockedStock},
};

/// What a customer orders.
#[derive(Debug, Clone)]
pub struct CreateOrder {
    pub user: UserId,
    pub lines: Lines,
    /// The customer's name for this order, by which they get the same one again.
    pub key: Option<IdempotencyKey>,
}

impl CreateOrder {
    pub(super) fn skus(&self) -> impl Iterator<Item = Sku> {
        self.lines.iter().map(|line| line.sku)
    }
}

#[derive(Debug, Clone)]
pub enum CreateRefusal {
    /// Free stock does not cover a line. The order is kept as failed.
    InsufficientStock { order: OrderId, shortage: Shortage },
    /// The key names an order of other lines.
    KeyReused { order: OrderId },
}

impl Orders {
    /// Creates an order, or answers the one that the customer's key names already, with the outcome it had.
    pub async fn create(&self, command: CreateOrder) -> Result<OrderId, Error<CreateRefusal>> {
        match self.batches.call(Command::Create(command)).await? {
            Outcome::Created(outcome) => outcome.map_err(Error::Refused),
            Outcome::Changed(_) => Err(unexpected().into()),
        }
    }
}

pub type Created = Result<OrderId, CreateRefusal>;

/// Creates orders in a transaction, as if one by one. Answers the outcome of each, `None` for one that wants stock that
/// others hold; and what is to be counted when it is committed.
pub async fn create<'a>(
    transaction: &mut Transaction,
    calls: &[Asked<'a, CreateOrder>],
    payment_timeout: Duration,
) -> Result<(Vec<Option<Created>>, Vec<CreatedOrder<'a>>), Failure> {
    let skus = calls.iter().flat_map(|call| call.command.skus()).collect();
    let LockedStock { free, held } = store::stock::lock_free(transaction, &skus).await?;
    let is_held = |command: &CreateOrder| command.skus().any(|sku| held.contains(&sku));
    let possible: Vec<_> = calls.iter().filter(|call| !is_held(call.command)).collect();
    // Another transaction that creates an order of one of these keys has locked the same stock, and so has ended.
    let keys: Vec<_> = possible.iter().map(|call| (call.command.user, call.command.key.as_ref())).collect();
    let found = store::orders::find(transaction, &keys, payment_timeout).await?;

    let mut draft = Draft { free, created: Vec::new(), named: HashMap::new() };
    let mut decided = std::iter::zip(possible, found).map(|(call, found)| draft.decide(call, found));
    let outcomes =
        calls.iter().map(|call| if is_held(call.command) { None } else { decided.next() }).collect::<Vec<_>>();
    if !draft.created.is_empty() {
        store::create(transaction, &draft.created).await?;
    }
    Ok((outcomes, draft.created))
}

/// The orders of a batch in memory, one after the other.
struct Draft<'a> {
    free: Free,
    created: Vec<CreatedOrder<'a>>,
    /// What the keys of the calls so far name.
    named: HashMap<(UserId, &'a IdempotencyKey), Named>,
}

#[derive(Clone)]
struct Named {
    order: OrderId,
    lines: Vec<Line>,
    state: State,
}

impl<'a> Draft<'a> {
    fn decide(&mut self, &Asked { command, span }: &Asked<'a, CreateOrder>, found: Found) -> Created {
        let CreateOrder { user, lines, key } = command;
        let name = key.as_ref().map(|key| (*user, key));
        let named = name.and_then(|name| self.named.get(&name).cloned());
        let Named { order, lines: known, state } = named.unwrap_or_else(|| {
            let named = match found {
                Found::Known(order, lines) => Named { order: order.id, lines, state: order.state },
                Found::New(new) => {
                    let plan = self.free.plan(lines);
                    let change = Change { transition: new.decide(&plan), span: span.clone() };
                    let state = change.transition.to().clone();
                    let reservations = plan.unwrap_or_default();
                    self.created.push(CreatedOrder {
                        new,
                        user: *user,
                        key: key.as_ref(),
                        lines,
                        reservations,
                        change,
                    });
                    Named { order: new.id, lines: lines.iter().collect(), state }
                }
            };
            if let Some(name) = name {
                self.named.insert(name, named.clone());
            }
            named
        });
        if !known.into_iter().eq(lines.iter()) {
            return Err(CreateRefusal::KeyReused { order });
        }
        match state.shortage() {
            Some(shortage) => Err(CreateRefusal::InsufficientStock { order, shortage }),
            None => Ok(order),
        }
    }
}
