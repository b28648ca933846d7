//! Prints the story: its chapters and sentences, and its calls with their answers.

use std::fmt::Display;

use crate::terminal;

pub fn chapter(title: &str) {
    terminal::print(format_args!("\n{title}\n{}", "─".repeat(title.chars().count())));
}

pub fn say(text: impl Display) {
    terminal::print(format_args!("  {text}"));
}

pub fn call(service: &str, method: &str, request: impl Display) {
    terminal::print(format_args!("    ▸ {service}/{method} {request}"));
}

pub fn answer(text: impl Display) {
    terminal::print(format_args!("    ◂ {text}"));
}
