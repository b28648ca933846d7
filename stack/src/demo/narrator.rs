//! Prints the story: its chapters and sentences, and its calls with their answers.

use std::fmt::Display;

pub fn chapter(title: &str) {
    println!("\n{title}\n{}", "─".repeat(title.chars().count()));
}

pub fn say(text: impl Display) {
    println!("  {text}");
}

pub fn call(service: &str, method: &str, request: impl Display) {
    println!("    ▸ {service}/{method} {request}");
}

pub fn answer(text: impl Display) {
    println!("    ◂ {text}");
}
