//! Tables of aligned columns. On a terminal they are as wide as it is, and long cells are wrapped.

use std::{fmt, io};

use comfy_table::{CellAlignment, ContentArrangement};
use rustix::termios::tcgetwinsize;

use super::printable;

/// Between two columns.
const GAP: u16 = 2;

#[derive(Debug)]
pub struct Table(comfy_table::Table);

impl Table {
    /// A table whose columns have these names. Columns of numbers are aligned to the right.
    pub fn new<const COLUMNS: usize>(names: [&str; COLUMNS], numbers: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_header(names);
        if let Ok(size) = tcgetwinsize(io::stdout())
            && size.ws_col > 0
        {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(size.ws_col);
        }
        for (column, name) in table.column_iter_mut().zip(names) {
            column.set_padding((0, GAP));
            if numbers.contains(&name) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Self(table)
    }

    /// What others wrote into a cell cannot steer the terminal.
    pub fn row<const COLUMNS: usize>(&mut self, cells: [String; COLUMNS]) {
        self.0.add_row(cells.map(|cell| printable(&cell)));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.lines().map(|line| line.trim_end().to_owned()).collect();
        f.write_str(&lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_steers_the_terminal() {
        let mut table = Table::new(["order", "why"], &["order"]);
        table.row(["7".into(), "\u{1b}[2J".into()]);
        table.row(["1234567".into(), "ok".into()]);
        assert_eq!(table.to_string(), "  order  why\n      7  \\u{1b}[2J\n1234567  ok");
    }
}
