//! Prints the story: its chapters and sentences, and its calls with their answers.

use std::fmt::Display;

use crate::terminal::{self, CALL, FAINT, GOOD, REFUSED, TITLE};

pub fn chapter(title: &str) {
    terminal::print(format_args!("\n{TITLE}{title}\n{}{TITLE:#}", "─".repeat(title.chars().count())));
}

pub fn say(text: impl Display) {
    terminal::print(format_args!("  {text}"));
}

/// `before` is what is alike in many calls.
pub fn call(before: impl Display, what: impl Display, request: impl Display) {
    terminal::print(format_args!("    {CALL}▸{CALL:#} {FAINT}{before}{FAINT:#}{CALL}{what}{CALL:#} {request}"));
}

pub fn answer(text: impl Display) {
    terminal::print(format_args!("    {GOOD}◂{GOOD:#} {text}"));
}

pub fn refusal(text: impl Display) {
    terminal::print(format_args!("    {REFUSED}◂ {text}{REFUSED:#}"));
}
