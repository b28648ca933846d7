//! Sets what is on hand from a file.
//!
//! A file with a fault changes nothing. The lines of a good one are set in slices, so that buyers wait for a moment at
//! most, and a line that somebody else holds is set later. Readers see each slice as a whole.

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use platform::{failure::Failure, postgres::Transaction};

use super::Stocks;
use crate::{
    domain::stock_file::{CountedLine, LineFault, StockFile},
    store::{self, stock::Unset},
};

/// Few enough to be set within milliseconds: so long are their rows locked.
const SLICE: usize = 1000;
/// How long nothing may be set because others hold it.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// Why not all of a file is imported.
#[derive(Debug)]
pub enum Incomplete {
    /// Nothing is imported.
    Faults(Vec<LineFault>),
    /// These lines are not imported; others changed that stock meanwhile. The rest is.
    Overtaken { imported: usize, lines: usize, rest: Vec<LineFault> },
    /// It broke off.
    Broken { imported: usize, lines: usize, failure: Failure },
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Faults(_) => write!(f, "nothing is imported")?,
            Self::Overtaken { imported, lines, .. } => {
                write!(f, "imported {imported} of {lines} lines, but not these")?
            }
            Self::Broken { imported: 0, .. } => write!(f, "nothing is imported")?,
            Self::Broken { imported, lines, .. } => {
                write!(f, "imported {imported} of {lines} lines; import it again for the rest")?;
            }
        }
        match self {
            Self::Faults(faults) | Self::Overtaken { rest: faults, .. } => {
                faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
            }
            Self::Broken { .. } => Ok(()),
        }
    }
}

impl std::error::Error for Incomplete {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Broken { failure, .. } => Some(failure),
            Self::Faults(_) | Self::Overtaken { .. } => None,
        }
    }
}

impl Stocks {
    /// Sets what is on hand; stock that the file does not name stays. Answers the number of lines.
    pub async fn import(&self, file: StockFile) -> Result<usize, Incomplete> {
        self.import_in(file, SLICE).await
    }

    /// The same in one transaction. Others wait for it where they change the same stock.
    pub async fn import_at_once(&self, file: StockFile) -> Result<usize, Incomplete> {
        self.import_in(file, usize::MAX).await
    }

    async fn import_in(&self, file: StockFile, lines_at_once: usize) -> Result<usize, Incomplete> {
        let StockFile { mut lines, mut faults } = file;
        let count = lines.len();
        // Neighbours in the index are set together.
        lines.sort_by_key(|line| (line.counted.sku, line.counted.warehouse));
        let broken = |imported, failure| Incomplete::Broken { imported, lines: count, failure };
        let unset = self.unset(&lines).await.map_err(|failure| broken(0, failure))?;
        let (overbooked, lines) = split(unset);
        // Also where the text has faults: whoever mends the file learns of all of them at once.
        faults.extend(overbooked);
        if !faults.is_empty() {
            return Err(Incomplete::Faults(in_order(faults)));
        }

        let mut waiting = VecDeque::from(lines);
        let mut rest = Vec::new();
        let mut progress_at = Instant::now();
        while !waiting.is_empty() && progress_at.elapsed() < PATIENCE {
            let lines: Vec<_> = waiting.drain(..waiting.len().min(lines_at_once)).collect();
            let set = self.database.transact("import_stock", |transaction| set_on_hand(transaction, &lines)).await;
            let imported = count - waiting.len() - lines.len() - rest.len();
            let (overbooked, held) = split(set.map_err(|failure| broken(imported, failure))?);
            if overbooked.len() + held.len() < lines.len() {
                progress_at = Instant::now();
            } else {
                tokio::time::sleep(PAUSE).await;
            }
            rest.extend(overbooked);
            waiting.extend(held);
        }
        let held = |line: CountedLine| line.fault("others hold this stock");
        rest.extend(waiting.into_iter().map(held));
        if rest.is_empty() {
            Ok(count)
        } else {
            Err(Incomplete::Overtaken { imported: count - rest.len(), lines: count, rest: in_order(rest) })
        }
    }

    /// The lines that say something else than the stock does.
    async fn unset(&self, lines: &[CountedLine]) -> Result<Vec<Unset>, Failure> {
        let mut unset = Vec::new();
        for slice in lines.chunks(SLICE) {
            unset.extend(store::stock::unset(&self.database, slice).await?);
        }
        Ok(unset)
    }
}

/// Sets the lines whose stock nobody else holds and of which no more is reserved; answers the others.
async fn set_on_hand(mut transaction: Transaction, lines: &[CountedLine]) -> Result<Vec<Unset>, Failure> {
    let mut unset = Vec::new();
    for slice in lines.chunks(SLICE) {
        store::stock::set_on_hand(&mut transaction, slice).await?;
        unset.extend(store::stock::unset(&mut transaction, slice).await?);
    }
    transaction.commit().await?;
    Ok(unset)
}

/// Tells the lines of which more is reserved than was counted from those that can be set.
fn split(unset: Vec<Unset>) -> (Vec<LineFault>, Vec<CountedLine>) {
    let (mut faults, mut lines) = (Vec::new(), Vec::new());
    for Unset { line, reserved } in unset {
        let counted = line.counted.on_hand;
        if reserved > counted {
            faults.push(line.fault(format!("count is {counted}, but {reserved} are reserved")));
        } else {
            lines.push(line);
        }
    }
    (faults, lines)
}

fn in_order(mut faults: Vec<LineFault>) -> Vec<LineFault> {
    faults.sort_by_key(|fault| fault.number);
    faults
}
