//! Words for people, on standard output and standard error. Whoever reads them may be gone: a terminal that was closed, a
//! pipe whose reader ended first. That changes nothing of what the program does, unlike with `println!`, which panics.

mod table;
mod words;

use std::{
    fmt::Display,
    io::{self, Write as _},
};

use serde::Serialize;

pub use table::Table;
pub use words::{age, ago, count, moment, printable};

/// Prints a line.
pub fn print(text: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Prints a line to standard error.
pub fn print_error(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a value for programs.
pub fn print_json(value: &impl Serialize) -> Result<(), serde_json::Error> {
    print(serde_json::to_string_pretty(value)?);
    Ok(())
}
