//! What changes carts and purchases, the calls of many users in one transaction. The transaction holds the lock of each
//! user: such transactions of one user run one after the other, also those of other replicas, so what one of them has read
//! stays true until it commits.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use platform::{
    batches::{Batch, Call},
    failure::Failure,
    postgres::{Database, Locks, Transaction},
    telemetry::trace,
};
use proto::ids::{MAX_LINES, UserId};
use uuid::Uuid;

use super::{add::AddToCart, delete::DeleteFromCart, purchase::BuyCart};
use crate::{
    domain::{
        account::{Account, End, Ended, Found},
        cart::{AddRefusal, NotInCart},
        purchase::{Pending, PurchaseId},
    },
    metrics,
    store::account::{self, Begun, Changes, Wanted},
};

#[derive(Debug, Clone)]
pub enum Command {
    /// Adds a line, when so many units are available.
    Add(AddToCart, u64),
    Delete(DeleteFromCart),
    /// Finds a purchase, or begins one that the background step leaves alone for so long.
    Begin(BuyCart, Duration),
    End(Pending, End),
}

#[derive(Debug, Clone)]
pub enum Outcome {
    Added(Result<(), AddRefusal>),
    Deleted(Result<(), NotInCart>),
    Found(Found),
    Ended(Ended),
}

impl Command {
    fn user(&self) -> UserId {
        match self {
            Self::Add(AddToCart { user, .. }, _)
            | Self::Delete(DeleteFromCart { user, .. })
            | Self::Begin(BuyCart { user, .. }, _)
            | Self::End(Pending { user, .. }, _) => *user,
        }
    }

    /// What it must know of its user, beside the cart and the pending purchase.
    fn wanted(&self) -> Wanted<'_> {
        let nothing = Wanted { user: self.user(), key: None, purchase: None, untold: false };
        match self {
            Self::Add(..) | Self::Delete(_) => nothing,
            Self::Begin(BuyCart { key, .. }, _) => Wanted { key: key.as_ref(), untold: key.is_none(), ..nothing },
            Self::End(Pending { id, .. }, _) => Wanted { purchase: Some(*id), ..nothing },
        }
    }
}

/// The failure of a call whose outcome is that of another command.
pub fn unexpected() -> Failure {
    Failure::unforeseen("a call was answered as another")
}

#[derive(Debug)]
pub struct CartBatch {
    pub database: Database,
}

impl Batch for CartBatch {
    const NAME: &'static str = "change_carts";
    type Call = Command;
    type Outcome = Outcome;

    fn rows(command: &Command) -> usize {
        match command {
            Command::Add(..) | Command::Delete(_) => 1,
            // A cart has as many at most, and each line is moved.
            Command::Begin(..) => 2 * MAX_LINES,
            // The lines of one that does not become an order go back.
            Command::End(Pending { lines, .. }, _) => lines.len(),
        }
    }

    async fn run(&self, calls: &[Call<Command>], locks: Locks) -> Result<Vec<Option<Outcome>>, Failure> {
        // Nothing else in this database takes advisory locks of its own, so the user's id alone can be the key.
        let users: BTreeSet<i64> = calls.iter().map(|call| call.command.user().get()).collect();
        let attempt = |transaction, held| run(transaction, calls, held);
        let outcomes = self.database.transact_batch(Self::NAME, &users, locks, attempt).await?;
        outcomes.iter().flatten().for_each(count);
        Ok(outcomes)
    }
}

/// Counts what is committed.
fn count(outcome: &Outcome) {
    match outcome {
        Outcome::Added(Ok(())) => metrics::CART_CHANGES.with(["add"]).inc(),
        Outcome::Deleted(Ok(())) => metrics::CART_CHANGES.with(["delete"]).inc(),
        Outcome::Ended(Ended { end, is_old: false }) => metrics::PURCHASES.with([end.name()]).inc(),
        Outcome::Added(Err(_)) | Outcome::Deleted(Err(_)) | Outcome::Found(_) | Outcome::Ended(_) => {}
    }
}

/// `held` are the users whose locks others hold.
async fn run(
    mut transaction: Transaction,
    calls: &[Call<Command>],
    held: BTreeSet<i64>,
) -> Result<Vec<Option<Outcome>>, Failure> {
    let is_held = |command: &Command| held.contains(&command.user().get());
    let free = calls.iter().map(|call| &call.command).filter(|command| !is_held(command));
    let wanted: Vec<_> = free.map(Command::wanted).collect();
    if wanted.is_empty() {
        transaction.release().await?;
        return Ok(calls.iter().map(|_| None).collect());
    }
    let mut accounts = account::load(&mut transaction, &wanted).await?;
    let before: HashMap<_, _> = accounts.iter().map(|(user, account)| (*user, account.cart().clone())).collect();
    let (mut outcomes, mut changes) = (Vec::with_capacity(calls.len()), Changes::default());
    for call in calls {
        let decided = match accounts.get_mut(&call.command.user()) {
            Some(account) => Some(decide(account, call, &mut changes)?),
            None => None,
        };
        outcomes.push(decided);
    }
    for (user, account) in &accounts {
        changes.cart(*user, &before[user], account.cart());
    }
    if changes.is_empty() {
        transaction.release().await?;
    } else {
        account::write(&mut transaction, &changes).await?;
        transaction.commit().await?;
    }
    Ok(outcomes)
}

fn decide(
    account: &mut Account,
    Call { command, span }: &Call<Command>,
    changes: &mut Changes,
) -> Result<Outcome, Failure> {
    Ok(match command {
        Command::Add(AddToCart { line, .. }, available) => Outcome::Added(account.add(*line, *available)),
        Command::Delete(DeleteFromCart { line, .. }) => Outcome::Deleted(account.delete(*line)),
        Command::Begin(BuyCart { key, .. }, resume_in) => {
            let found = account.begin(key.as_ref(), PurchaseId(Uuid::now_v7()));
            if let Found::Begun(pending) = &found {
                let begun =
                    Begun { pending: pending.clone(), resume_in: *resume_in, traceparent: trace::traceparent(span) };
                changes.begun.push(begun);
            }
            Outcome::Found(found)
        }
        Command::End(Pending { id, .. }, end) => {
            let ended = account.end(*id, end).map_err(Failure::unforeseen)?;
            if !ended.is_old {
                changes.ended.push((*id, end.clone()));
            }
            Outcome::Ended(ended)
        }
    })
}
