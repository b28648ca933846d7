//! Everything that LOMS asks of its database, a table a file. What is only a part of a transaction takes one; what may
//! also stand alone takes any executor: a transaction, or the database.

mod changes;
pub mod floor;
pub mod inspect;
mod locks;
pub mod orders;
pub mod outbox;
pub mod past;
pub mod stock;
pub mod unpaid;

pub use changes::{Change, CreatedOrder, apply, create};
pub use locks::wait_for;

/// Numbers as a column.
fn numbers<'a, I: Copy + Into<i64> + 'a>(ids: impl IntoIterator<Item = &'a I>) -> Vec<i64> {
    ids.into_iter().map(|id| (*id).into()).collect()
}

/// How much waits for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    pub count: i64,
    /// For how long the oldest of them has waited; 0 if there are none.
    pub oldest_seconds: i64,
}
