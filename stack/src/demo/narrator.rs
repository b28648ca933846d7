//! How the story looks on a terminal: chapters, what happens in them, the calls that make it happen and their answers.

use std::fmt::Display;

/// Begins a chapter.
pub fn chapter(title: &str) {
    println!("\n{title}\n{}", "─".repeat(title.chars().count()));
}

/// Says what happens next.
pub fn say(text: impl Display) {
    println!("  {text}");
}

/// Shows a call.
pub fn call(service: &str, method: &str, request: impl Display) {
    println!("    ▸ {service}/{method} {request}");
}

/// Shows what it answered.
pub fn answer(text: impl Display) {
    println!("    ◂ {text}");
}
