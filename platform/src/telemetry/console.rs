//! Log lines on standard output.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
};

use super::{fields::Line, json::json, text::text};

/// What reads standard output.
#[derive(Debug, Clone, Copy)]
pub(super) enum Console {
    /// A program.
    Json,
    /// People.
    Text {
        /// Whether their terminal shows colours.
        coloured: bool,
    },
}

impl Console {
    /// People, where it is a terminal.
    pub fn of_stdout() -> Self {
        if !io::stdout().is_terminal() {
            return Self::Json;
        }
        // https://no-color.org
        Self::Text { coloured: env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    /// Writes a line.
    pub fn write(self, line: &Line) {
        let line = match self {
            Self::Json => json(line),
            Self::Text { coloured } => text(line, coloured),
        };
        // There is nowhere to say that it could not be written.
        let _ = io::stdout().lock().write_all(line.as_bytes());
    }
}
