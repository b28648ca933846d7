//! What an order asks for: lines sorted by SKU, each SKU once, at least one of them and at most [`MAX_LINES`].

use std::collections::BTreeMap;

use proto::ids::{Count, MAX_LINES, Sku};

/// A number of units of one SKU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub sku: Sku,
    pub count: Count,
}

/// The lines of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines(BTreeMap<Sku, Count>);

impl Lines {
    /// By SKU.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Line> {
        self.0.iter().map(|(&sku, &count)| Line { sku, count })
    }
}

/// Adds up the lines of a request, each SKU by itself.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<Sku, Count>);

/// The lines of one SKU ask for more together than an order may.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("brings the items of SKU {sku} to {units} units, the most is {}", Count::MAX)]
pub struct TooManyUnits {
    sku: Sku,
    units: u32,
}

/// A request with no lines, or with more than an order may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be from 1 to {MAX_LINES} items, are {0}")]
pub struct WrongNumber(usize);

/// Checks how many lines a request has, before they are added up.
pub fn check_number(lines: usize) -> Result<(), WrongNumber> {
    if (1..=MAX_LINES).contains(&lines) { Ok(()) } else { Err(WrongNumber(lines)) }
}

impl Tally {
    /// Adds a line, unless its SKU would exceed what an order may ask for.
    pub fn add(&mut self, Line { sku, count }: Line) -> Result<(), TooManyUnits> {
        let units = self.0.get(&sku).map_or(0, |before| before.get()) + count.get();
        let sum = Count::try_from(units).map_err(|_| TooManyUnits { sku, units })?;
        self.0.insert(sku, sum);
        Ok(())
    }

    /// The lines; `None` if there are not as many as [`check_number`] asks for.
    pub fn lines(self) -> Option<Lines> {
        check_number(self.0.len()).is_ok().then_some(Lines(self.0))
    }
}
