//! The file that sets what is on hand: CSV with the header `warehouse_id,sku,count`. Every faulty line is reported, not
//! just the first one.

use std::{collections::HashMap, fmt, num::IntErrorKind};

use csv::{ReaderBuilder, StringRecord, Trim};
use proto::ids::{Sku, WarehouseId};

use super::stock::Counted;

const HEADER: [&str; 3] = ["warehouse_id", "sku", "count"];

/// A line of the file and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountedLine {
    /// The header is line 1.
    pub number: u64,
    pub counted: Counted,
}

impl CountedLine {
    pub fn fault(&self, description: impl Into<String>) -> LineFault {
        LineFault { number: self.number, description: description.into() }
    }
}

/// What is wrong with a line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFault {
    /// The header is line 1.
    pub number: u64,
    pub description: String,
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.number, self.description)
    }
}

/// A file as it was read: the lines that can be used, and the faults of the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StockFile {
    /// The lines without fault; no two of them speak of the same warehouse and SKU.
    pub lines: Vec<CountedLine>,
    pub faults: Vec<LineFault>,
}

impl StockFile {
    /// Reads the text of a file.
    pub fn parse(text: &[u8]) -> Self {
        let mut reader = ReaderBuilder::new().trim(Trim::All).flexible(true).from_reader(text);
        let mut file = Self::default();
        match reader.headers() {
            Ok(header) if header == &StringRecord::from(&HEADER[..]) => {}
            Ok(_) => file.fault(1, format!("must be the header {}", HEADER.join(","))),
            Err(error) => file.fault(1, error),
        }
        if !file.faults.is_empty() {
            return file;
        }
        let mut seen = HashMap::new();
        let mut record = StringRecord::new();
        let mut lines = LineNumbers { text, counted: 0, number: 1 };
        loop {
            let number = lines.at(reader.position().byte());
            match reader.read_record(&mut record) {
                Ok(true) => file.read_line(number, &record, &mut seen),
                Ok(false) => return file,
                Err(error) => file.fault(number, error),
            }
        }
    }

    fn read_line(&mut self, number: u64, record: &StringRecord, seen: &mut HashMap<(WarehouseId, Sku), u64>) {
        if record.len() != HEADER.len() {
            return self.fault(number, format!("must have {} fields, has {}", HEADER.len(), record.len()));
        }
        let warehouse = self.field(number, record, 0);
        let sku = self.field(number, record, 1);
        let on_hand = self.field(number, record, 2);
        let (Some(warehouse), Some(sku)) = (warehouse, sku) else { return };
        if let Some(first) = seen.get(&(warehouse, sku)) {
            return self.fault(number, format!("sets SKU {sku} in warehouse {warehouse} again, after line {first}"));
        }
        seen.insert((warehouse, sku), number);
        if let Some(on_hand) = on_hand {
            self.lines.push(CountedLine { number, counted: Counted { warehouse, sku, on_hand } });
        }
    }

    fn field<T>(&mut self, number: u64, record: &StringRecord, index: usize) -> Option<T>
    where
        T: TryFrom<i64, Error: fmt::Display>,
    {
        let name = HEADER[index];
        match record[index].parse::<i64>() {
            Ok(value) => match T::try_from(value) {
                Ok(value) => return Some(value),
                Err(error) => self.fault(number, format!("{name} {error}")),
            },
            Err(error) if [IntErrorKind::PosOverflow, IntErrorKind::NegOverflow].contains(error.kind()) => {
                self.fault(number, format!("{name} is far out of bounds: {}", &record[index]));
            }
            Err(_) => self.fault(number, format!("{name} must be a whole number, is {:?}", &record[index])),
        }
        None
    }

    fn fault(&mut self, number: u64, description: impl fmt::Display) {
        self.faults.push(LineFault { number, description: description.to_string() });
    }
}

/// Counts lines by hand, because the reader's own count leaves out empty ones that it skips.
struct LineNumbers<'a> {
    text: &'a [u8],
    counted: usize,
    number: u64,
}

impl LineNumbers<'_> {
    /// The number of the line that a record read from this byte on begins in.
    fn at(&mut self, byte: u64) -> u64 {
        let from = usize::try_from(byte).unwrap_or(usize::MAX).clamp(self.counted, self.text.len());
        let skipped = self.text[from..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
        let passed = &self.text[self.counted..from + skipped];
        self.number += passed.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        self.counted = from + skipped;
        self.number
    }
}
