//! Prints the story: its chapters and sentences, and its calls with their answers.

use std::fmt::Display;

use crate::terminal::{self, CALL, GOOD, REFUSED, TITLE};

pub fn chapter(title: &str) {
    terminal::print(format_args!("\n{TITLE}{title}\n{}{TITLE:#}", "─".repeat(title.chars().count())));
}

pub fn say(text: impl Display) {
    terminal::print(format_args!("  {text}"));
}

pub fn call(service: &str, method: &str, request: impl Display) {
    terminal::print(format_args!("    {CALL}▸ {service}/{method}{CALL:#} {request}"));
}

pub fn answer(text: impl Display) {
    terminal::print(format_args!("    {GOOD}◂{GOOD:#} {text}"));
}

pub fn refusal(text: impl Display) {
    terminal::print(format_args!("    {REFUSED}◂ {text}{REFUSED:#}"));
}
