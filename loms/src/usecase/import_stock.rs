//! Sets what is on hand from a file: all of it, or nothing.

use std::fmt;

use platform::{
    failure::{Error, Failure},
    postgres::Transaction,
};

use super::Stocks;
use crate::{
    domain::stock_file::{CountedLine, LineFault, StockFile},
    store,
};

/// Everything that is wrong with a file, by line.
#[derive(Debug, Clone)]
pub struct Faults(Vec<LineFault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing is imported")?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl Stocks {
    /// Sets what is on hand; stock that the file does not name stays. Answers the number of lines.
    pub async fn import(&self, file: StockFile) -> Result<usize, Error<Faults>> {
        let file = &file;
        let import = |transaction| set_on_hand(transaction, file);
        let mut faults = self.database.transact("import_stock", import).await?;
        if faults.is_empty() {
            return Ok(file.lines.len());
        }
        faults.sort_by_key(|fault| fault.number);
        Err(Error::Refused(Faults(faults)))
    }
}

/// Sets what is on hand if nothing is wrong with the file; answers what is.
async fn set_on_hand(mut transaction: Transaction, file: &StockFile) -> Result<Vec<LineFault>, Failure> {
    let counted: Vec<_> = file.lines.iter().map(|line| line.counted).collect();
    let overbooked = store::stock::set_on_hand(&mut transaction, &counted).await?;
    let below = |line: &CountedLine| {
        let reserved = overbooked.get(&(line.counted.warehouse, line.counted.sku))?;
        let description = format!("count is {}, but {reserved} are reserved", line.counted.on_hand);
        Some(LineFault { number: line.number, description })
    };
    // Also where the text has faults: whoever mends the file learns of all of them at once.
    let faults: Vec<_> = file.faults.iter().cloned().chain(file.lines.iter().filter_map(below)).collect();
    if faults.is_empty() {
        transaction.commit().await?;
    }
    Ok(faults)
}
