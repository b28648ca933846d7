//! The board as people read it: three tables, none wider than 80 columns.

use std::{fmt, time::Duration};

use comfy_table::{CellAlignment, Table, presets::NOTHING};

use super::{Board, Limit, Process, State, Waiting};

/// Gauges count no further.
const MOST_COUNTED: u64 = 100_000;

/// Aligned columns; those of numbers to the right.
fn table<const COLUMNS: usize>(names: [&str; COLUMNS], numbers: std::ops::Range<usize>) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(names);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if numbers.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn lines(f: &mut fmt::Formatter<'_>, table: &Table) -> fmt::Result {
    table.lines().try_for_each(|line| writeln!(f, "{}", line.trim_end()))
}

/// How long something takes, such as `3m 20s`: two units at most.
pub(super) fn age(seconds: u64) -> String {
    let words = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    words.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// What nobody tells is a question mark.
fn number(number: Option<u64>) -> String {
    match number {
        None => "?".to_owned(),
        Some(MOST_COUNTED) => format!("{MOST_COUNTED}+"),
        Some(number) => number.to_string(),
    }
}

impl State {
    fn in_a_word(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Up => "up",
            Self::NotReady(_) => "WAITS",
            Self::Silent => "DOWN",
        }
    }
}

impl Process {
    fn cells(&self) -> [String; 6] {
        let version = match (&self.version, &self.revision) {
            (Some(version), Some(revision)) => format!("{version} {}", revision.chars().take(7).collect::<String>()),
            (version, _) => version.clone().unwrap_or_default(),
        };
        [
            self.name.to_owned(),
            self.state.in_a_word().to_owned(),
            self.address.trim_start_matches("http://").chars().take(22).collect(),
            version,
            self.up_seconds.map_or_else(String::new, age),
            self.memory_bytes.map_or_else(String::new, |bytes| format!("{} MB", bytes / 1_000_000)),
        ]
    }
}

impl Waiting {
    fn cells(&self) -> [String; 4] {
        let oldest = self.oldest_seconds.filter(|_| self.count > Some(0)).map_or_else(String::new, age);
        [self.what.to_owned(), number(self.count), oldest, self.service.to_owned()]
    }
}

impl Limit {
    /// A dash where a service does not have the limit.
    fn cells(&self) -> [String; 4] {
        let cell = |met: Option<u64>| met.map_or_else(|| "-".to_owned(), |met| met.to_string());
        [self.what.to_owned(), cell(self.checkout), cell(self.loms), cell(self.notifications)]
    }
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The fleet on {}\n", self.at.format("%Y-%m-%d %H:%M:%S UTC"))?;
        let mut processes = table(["process", "state", "address", "version", "up", "memory"], 5..6);
        for process in &self.processes {
            processes.add_row(process.cells());
        }
        lines(f, &processes)?;
        writeln!(f)?;
        let mut waiting = table(["what waits", "now", "oldest", "told by"], 1..2);
        for row in &self.waiting {
            waiting.add_row(row.cells());
        }
        lines(f, &waiting)?;
        writeln!(f)?;
        let mut limits = table(["limits met since the start", "checkout", "loms", "notifications"], 1..4);
        for limit in &self.limits {
            limits.add_row(limit.cells());
        }
        lines(f, &limits)?;
        writeln!(f)?;
        if self.notable.is_empty() {
            return write!(f, "All is well: every process is up, and nothing waits for long.");
        }
        write!(f, "To look at, with its section in docs/runbook.md:")?;
        self.notable.iter().try_for_each(|notable| {
            let runbook = notable.runbook.map_or_else(String::new, |section| format!(" ({section})"));
            write!(f, "\n  {}{runbook}", notable.what)
        })
    }
}
