//! Words for people, on standard output and standard error. Whoever reads them may be gone: a terminal that was closed, a
//! pipe whose reader ended first. That changes nothing of what the program does, unlike with `println!`, which panics.
//!
//! Styles show in terminals only, and not where `NO_COLOR` is set. `{GOOD}` in a text begins one, `{GOOD:#}` ends it.

use std::{fmt::Display, io::Write as _};

use anstyle::{AnsiColor, Style};

/// What one looks for when one scrolls back.
pub const TITLE: Style = Style::new().bold();
pub const GOOD: Style = AnsiColor::Green.on_default();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// A refusal, where one is expected.
pub const REFUSED: Style = AnsiColor::Yellow.on_default();
/// What is done.
pub const CALL: Style = AnsiColor::Cyan.on_default();
/// What one rarely reads.
pub const FAINT: Style = Style::new().dimmed();

/// Prints a line.
pub fn print(text: impl Display) {
    let _ = writeln!(anstream::stdout().lock(), "{text}");
}

/// Prints a line to standard error.
pub fn print_error(text: impl Display) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}
