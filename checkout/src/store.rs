//! Everything that checkout asks of its database. What is only a part of a transaction takes one; what may also stand alone
//! takes any executor: a transaction, or the database.

pub mod account;
pub mod past;
pub mod product;
pub mod product_turn;
pub mod purchase;

use platform::{failure::Failure, postgres::read};

use crate::domain::Line;

/// Lines from columns of SKUs and counts.
fn lines(columns: impl IntoIterator<Item = (i64, i32)>) -> Result<Vec<Line>, Failure> {
    columns.into_iter().map(|(sku, count)| Ok(Line { sku: read(sku)?, count: read(count)? })).collect()
}
