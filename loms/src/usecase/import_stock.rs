//! Sets what is on hand from a file: all of it, or nothing.

use std::fmt;

use platform::{failure::Failure, postgres::retrying};

use super::Stocks;
use crate::{
    domain::stock_file::{CountedLine, LineFault, StockFile},
    store,
};

/// The name of the transaction.
const NAME: &str = "import_stock";

/// Why nothing was imported.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ImportError {
    /// Everything that is wrong with the file, by line.
    #[error("nothing is imported{}", Lines(.0))]
    Faults(Vec<LineFault>),
    /// The unforeseen.
    #[error(transparent)]
    Failure(#[from] Failure),
}

struct Lines<'a>(&'a [LineFault]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl Stocks {
    /// Sets what is on hand; stock that the file does not name stays. Answers the number of lines.
    pub async fn import(&self, file: StockFile) -> Result<usize, ImportError> {
        let mut faults = retrying(NAME, || self.import_once(&file)).await?;
        if faults.is_empty() {
            return Ok(file.lines.len());
        }
        faults.sort_by_key(|fault| fault.number);
        Err(ImportError::Faults(faults))
    }

    async fn import_once(&self, file: &StockFile) -> Result<Vec<LineFault>, Failure> {
        let counted: Vec<_> = file.lines.iter().map(|line| line.counted).collect();
        let mut transaction = self.database.begin(NAME).await?;
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
}
