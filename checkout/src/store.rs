//! Everything that checkout asks of its database, a table a file.
//!
//! Whatever changes a user's cart or purchases takes a [`UserTransaction`], which holds the user's lock: such transactions
//! of one user run one after the other, so what one of them has read stays true until it commits. What may also stand
//! alone takes any executor: a transaction, or the database.

pub mod cart_item;
pub mod purchase;

use std::ops::{Deref, DerefMut};

use platform::{
    failure::{Failure, Transient},
    postgres::{Database, Transaction, read},
    turns::Turns,
};
use proto::ids::UserId;

use crate::domain::Line;

/// The database, and turns at what belongs to a user. Clones share the turns.
#[derive(Debug, Clone)]
pub struct Store {
    pub database: Database,
    turns: Turns<UserId>,
}

impl Store {
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone(), turns: Turns::default() }
    }

    /// The same for work that no caller waits for.
    #[must_use]
    pub fn background(&self) -> Self {
        Self { database: self.database.background(), turns: self.turns.clone() }
    }

    /// Runs a transaction on what belongs to one user, when no other holds it; see [`Database::transact`].
    pub async fn transact<T, E, F>(
        &self,
        name: &'static str,
        user: UserId,
        work: impl Fn(UserTransaction) -> F,
    ) -> Result<T, E>
    where
        E: From<Failure> + Transient,
        F: Future<Output = Result<T, E>>,
    {
        // A user with many calls at once must not hold the connections that others need.
        let _turn = self.turns.take(user).await?;
        let attempt = |transaction| async { work(UserTransaction::lock(transaction, user).await?).await };
        self.database.transact(name, attempt).await
    }
}

/// A transaction that holds the lock of its user. It is rolled back unless it is committed.
#[derive(Debug)]
pub struct UserTransaction {
    transaction: Transaction,
    user: UserId,
}

impl UserTransaction {
    async fn lock(mut transaction: Transaction, user: UserId) -> Result<Self, Failure> {
        // Nothing else in this database takes advisory locks of its own, so the user's id alone can be the key.
        sqlx::query!("/* lock_user */ SELECT pg_advisory_xact_lock($1)", user.get()).execute(&mut transaction).await?;
        Ok(Self { transaction, user })
    }

    pub fn user(&self) -> UserId {
        self.user
    }

    pub async fn commit(self) -> Result<(), Failure> {
        self.transaction.commit().await
    }
}

impl Deref for UserTransaction {
    type Target = Transaction;

    fn deref(&self) -> &Transaction {
        &self.transaction
    }
}

impl DerefMut for UserTransaction {
    fn deref_mut(&mut self) -> &mut Transaction {
        &mut self.transaction
    }
}

/// Lines from columns of SKUs and counts.
fn lines(columns: impl IntoIterator<Item = (i64, i32)>) -> Result<Vec<Line>, Failure> {
    columns.into_iter().map(|(sku, count)| Ok(Line { sku: read(sku)?, count: read(count)? })).collect()
}
