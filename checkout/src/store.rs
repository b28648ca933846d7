//! What checkout keeps in Postgres.
//!
//! Whatever changes a user's cart or purchases does so through [`UserTransaction`], which holds the user's lock: such
//! transactions of one user run one after the other, so what one of them has read stays true until it commits.

mod cart_item;
mod purchase;
mod resume;

use platform::{
    failure::Failure,
    ids::{Count, OutOfBounds, Sku, UserId},
    postgres::{Database, Transaction},
};

use crate::domain::Line;

pub use purchase::Found;
pub use resume::Due;

/// The database of checkout.
#[derive(Debug, Clone)]
pub struct Store {
    database: Database,
}

impl Store {
    /// A store over a database whose schema is current.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Begins a transaction on what belongs to one user, when no other holds it; `name` is the transaction's name in
    /// metrics and traces.
    pub async fn begin(&self, name: &'static str, user: UserId) -> Result<UserTransaction, Failure> {
        let mut transaction = self.database.begin(name).await?;
        // Nothing else in this database takes advisory locks of its own, so the user's id alone can be the key.
        sqlx::query!("/* lock_user */ SELECT pg_advisory_xact_lock($1)", user.get()).execute(&mut transaction).await?;
        Ok(UserTransaction { transaction, user })
    }
}

/// A transaction that holds the lock of its user. It is rolled back unless it is committed.
#[derive(Debug)]
pub struct UserTransaction {
    transaction: Transaction,
    user: UserId,
}

impl UserTransaction {
    /// Makes everything done in it durable.
    pub async fn commit(self) -> Result<(), Failure> {
        self.transaction.commit().await
    }
}

/// A line as the tables keep it.
struct LineRow {
    sku: i64,
    count: i32,
}

impl TryFrom<LineRow> for Line {
    type Error = OutOfBounds;

    fn try_from(row: LineRow) -> Result<Self, OutOfBounds> {
        Ok(Self { sku: Sku::try_from(row.sku)?, count: Count::try_from(i64::from(row.count))? })
    }
}

fn lines(rows: Vec<LineRow>) -> Result<Vec<Line>, Failure> {
    // The tables' constraints are the bounds of the types.
    rows.into_iter().map(Line::try_from).collect::<Result<_, _>>().map_err(Failure::unforeseen)
}

/// Asserts how many rows a statement changed.
fn expect_rows(
    statement: &'static str,
    expected: usize,
    result: &sqlx::postgres::PgQueryResult,
) -> Result<(), Failure> {
    if u64::try_from(expected) == Ok(result.rows_affected()) {
        return Ok(());
    }
    Err(Failure::unforeseen(format!("{statement} changed {} rows instead of {expected}", result.rows_affected())))
}
