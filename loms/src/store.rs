//! Everything that LOMS asks of its database. Functions take a transaction where their work is a part of one, and the
//! database where it stands alone.

use std::time::Duration;

use platform::failure::Failure;

mod changes;
pub mod orders;
pub mod outbox;
pub mod reservations;
pub mod stock;

pub use changes::apply;

/// How much waits for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// How many.
    pub count: i64,
    /// For how long the oldest of them has waited; zero if there are none.
    pub oldest_age: Duration,
}

/// A number of a row as the type that stands for it.
fn read<T>(value: impl Into<i64>) -> Result<T, Failure>
where
    T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>,
{
    T::try_from(value.into()).map_err(Failure::unforeseen)
}

/// Makes sure that a statement did what it was meant to do.
fn require_rows(statement: &str, expected: usize, actual: u64) -> Result<(), Failure> {
    if u64::try_from(expected) == Ok(actual) {
        return Ok(());
    }
    Err(Failure::unforeseen(format!("{statement} was to write {expected} rows, but wrote {actual}")))
}
