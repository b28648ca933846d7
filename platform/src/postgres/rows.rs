//! Reads values from rows, and bounds and checks how many there are.

use sqlx::postgres::PgQueryResult;

use crate::failure::Failure;

/// As many rows are counted to measure what waits. To count a long queue again and again would cost more the longer it is.
pub const MAX_COUNTED: i64 = 100_000;

/// Turns a number from a row into its type. The constraints of the tables are the bounds of the types, so a number out
/// of bounds is a defect.
pub fn read<T>(value: impl Into<i64>) -> Result<T, Failure>
where
    T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>,
{
    T::try_from(value.into()).map_err(Failure::unforeseen)
}

pub fn expect_rows(statement: &str, expected: usize, result: &PgQueryResult) -> Result<(), Failure> {
    let changed = result.rows_affected();
    if u64::try_from(expected) == Ok(changed) {
        return Ok(());
    }
    Err(Failure::unforeseen(format!("{statement} was to change {expected} rows and changed {changed}")))
}
