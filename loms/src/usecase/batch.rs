//! Orders that are created, paid and cancelled in one transaction: first the changes of orders, which may free stock, then
//! the new ones.

use std::{collections::BTreeSet, time::Duration};

use platform::{
    batches::{Batch, Call},
    failure::Failure,
    postgres::{Database, Locks, Transaction},
    worker::Wake,
};
use tracing::Span;

use super::{
    change::{self, ChangeOrder, Changed, Made},
    create::{self, CreateOrder, Created},
};
use crate::{
    domain::status::State,
    metrics,
    store::{self, CreatedOrder},
};

#[derive(Debug, Clone)]
pub enum Command {
    Create(CreateOrder),
    Change(ChangeOrder),
}

#[derive(Debug, Clone)]
pub enum Outcome {
    Created(Created),
    Changed(Changed),
}

/// The failure of a call whose outcome is that of another command.
pub(super) fn unexpected() -> Failure {
    Failure::unforeseen("a call was answered as another")
}

/// A command, and the span of its call.
#[derive(Debug)]
pub struct Asked<'a, C> {
    pub command: &'a C,
    pub span: &'a Span,
}

#[derive(Debug)]
pub struct OrderBatch {
    pub database: Database,
    pub payment_timeout: Duration,
    /// Woken when there are events to publish.
    pub relay: Wake,
}

impl Batch for OrderBatch {
    const NAME: &'static str = "change_orders";
    type Call = Command;
    type Outcome = Outcome;

    fn rows(command: &Command) -> usize {
        match command {
            // A line, what it reserves, and the stock.
            Command::Create(command) => 3 * command.lines.iter().len(),
            Command::Change(_) => 1,
        }
    }

    async fn run(&self, calls: &[Call<Command>], locks: Locks) -> Result<Vec<Option<Outcome>>, Failure> {
        let attempt = |transaction, _| run(transaction, calls, locks, self.payment_timeout);
        let (outcomes, made, created) =
            self.database.transact_batch(Self::NAME, &BTreeSet::new(), locks, attempt).await?;
        for Made { change, units, age } in &made {
            metrics::count(&change.transition, *units);
            if *change.transition.to() == State::Paid {
                metrics::TIME_TO_PAYMENT_SECONDS.observe(age.as_seconds_f64());
            }
        }
        for CreatedOrder { change, reservations, .. } in &created {
            let units = reservations.iter().map(|taken| u64::from(taken.count.get())).sum();
            metrics::count(&change.transition, units);
        }
        if !(made.is_empty() && created.is_empty()) {
            self.relay.wake();
        }
        Ok(outcomes)
    }
}

async fn run<'a>(
    mut transaction: Transaction,
    calls: &'a [Call<Command>],
    locks: Locks,
    payment_timeout: Duration,
) -> Result<(Vec<Option<Outcome>>, Vec<Made>, Vec<CreatedOrder<'a>>), Failure> {
    let (mut changes, mut creations) = (Vec::new(), Vec::new());
    for Call { command, span } in calls {
        match command {
            Command::Change(command) => changes.push(Asked { command, span }),
            Command::Create(command) => creations.push(Asked { command, span }),
        }
    }
    if locks == Locks::Wait {
        let orders: BTreeSet<_> = changes.iter().map(|call| call.command.order).collect();
        let skus = creations.iter().flat_map(|call| call.command.skus()).collect();
        store::wait_for(&mut transaction, &orders, &skus).await?;
    }
    let (changed, made) =
        if changes.is_empty() { Default::default() } else { change::change(&mut transaction, &changes).await? };
    let (created, new) = if creations.is_empty() {
        Default::default()
    } else {
        create::create(&mut transaction, &creations, payment_timeout).await?
    };
    if made.is_empty() && new.is_empty() {
        transaction.release().await?;
    } else {
        transaction.commit().await?;
    }
    let (mut changed, mut created) = (changed.into_iter(), created.into_iter());
    let outcomes = calls.iter().map(|call| match call.command {
        Command::Change(_) => changed.next().flatten().map(Outcome::Changed),
        Command::Create(_) => created.next().flatten().map(Outcome::Created),
    });
    Ok((outcomes.collect(), made, new))
}
