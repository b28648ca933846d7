//! Rows of the database as values, and how many of them a statement was to change.

use sqlx::postgres::PgQueryResult;

use crate::failure::Failure;

/// A number of a row as the type that stands for it. The constraints of the tables are the bounds of the types.
pub fn read<T>(value: impl Into<i64>) -> Result<T, Failure>
where
    T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>,
{
    T::try_from(value.into()).map_err(Failure::unforeseen)
}

/// Makes sure that a statement changed as many rows as it was meant to.
pub fn expect_rows(statement: &str, expected: usize, result: &PgQueryResult) -> Result<(), Failure> {
    let changed = result.rows_affected();
    if u64::try_from(expected) == Ok(changed) {
        return Ok(());
    }
    Err(Failure::unforeseen(format!("{statement} was to change {expected} rows and changed {changed}")))
}
