//! Log lines for people at a terminal: time, level, message, then fields, the trace id last.

use std::fmt::Write as _;

use nu_ansi_term::{Color, Style};
use serde_json::Value;
use tracing::Level;

use super::fields::Line;

/// What says the same on every line of a kind, or the same as another field, or nothing to somebody who looks at one
/// process.
const LEFT_OUT: [&str; 12] = [
    "target",
    "service",
    "span_id",
    "trace_id",
    "client.address",
    "client.port",
    "rpc.system.name",
    "db.system.name",
    "messaging.system",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.consumer.group.name",
];

/// The line, with its line break.
pub(super) fn text(line: &Line, coloured: bool) -> String {
    let paint = |style: Style, text: &str| if coloured { style.paint(text).to_string() } else { text.to_owned() };
    let faint = Style::new().dimmed();
    let time = line.at.format("%H:%M:%S%.3fZ").to_string();
    let level = format!("{:>5}", line.level.as_str());
    let mut text =
        format!("{} {} {}", paint(faint, &time), paint(colour(line.level), &level), readable(&line.message, false));
    let fields = line.fields.iter().filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()));
    for (name, value) in fields.chain(line.fields.get_key_value("trace_id")) {
        let value = if let Value::String(value) = value { readable(value, true) } else { value.to_string() };
        // A string takes whatever is written to it.
        let _ = write!(text, " {}{value}", paint(faint, &format!("{name}=")));
    }
    text.push('\n');
    text
}

/// A text in one line that cannot steer a terminal; as a value in quotes where its end would not be seen.
fn readable(text: &str, value: bool) -> String {
    let quoted = value && (text.is_empty() || text.contains([' ', '"', '=']));
    if quoted || text.contains(char::is_control) { format!("{text:?}") } else { text.to_owned() }
}

fn colour(level: Level) -> Style {
    match level {
        Level::ERROR => Color::Red.bold(),
        Level::WARN => Color::Yellow.normal(),
        Level::INFO => Color::Green.normal(),
        Level::DEBUG | Level::TRACE => Style::new().dimmed(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use chrono::DateTime;
    use serde_json::json;

    use super::*;

    fn line() -> Line {
        let Value::Object(fields) = json!({
            "target": "platform::grpc", "trace_id": "0af7", "service": "loms", "rpc.method": "loms.Loms/Stocks",
            "rpc.message": "no such order", "evil": "\u{1b}[2J", "duration_ms": 1.25,
        }) else {
            unreachable!("fields are an object")
        };
        let at = DateTime::from_timestamp_millis(1_700_000_000_250).unwrap();
        Line { at, level: Level::WARN, message: "call answered".into(), fields }
    }

    #[test]
    fn a_line_is_short_and_ends_with_the_trace() {
        let shown = "22:13:20.250Z  WARN call answered rpc.method=loms.Loms/Stocks rpc.message=\"no such order\" \
                     evil=\"\\u{1b}[2J\" duration_ms=1.25 trace_id=0af7\n";
        assert_eq!(text(&line(), false), shown);
    }

    #[test]
    fn the_level_has_a_colour_where_the_terminal_shows_colours() {
        assert!(text(&line(), true).contains("\u{1b}[33m WARN\u{1b}[0m call answered"));
    }
}
