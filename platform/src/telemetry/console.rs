//! Log lines on standard output: text if it is a terminal, JSON otherwise.

use std::{
    env, fmt,
    io::{self, IsTerminal as _, Write as _},
};

use tracing::{Subscriber, field::Field};
use tracing_subscriber::{
    Layer,
    fmt::{
        format::{Writer, debug_fn, format},
        layer,
        time::ChronoUtc,
    },
    registry::LookupSpan,
};

use super::{
    fields::{Line, is_shown},
    json::json,
};

pub(super) fn write_json(line: &Line) {
    // There is no other place to report the error.
    let _ = io::stdout().lock().write_all(json(line).as_bytes());
}

/// The layer that writes text; `None` if standard output is no terminal.
pub(super) fn terminal_layer<S>() -> Option<impl Layer<S>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    // https://no-color.org
    let coloured = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let format = format().compact().with_target(false).with_timer(ChronoUtc::new("%H:%M:%S%.3fZ".into()));
    let layer = layer().with_ansi(coloured).event_format(format).fmt_fields(debug_fn(write_field));
    // When the terminal is gone, there is no other place to report that. The layer would panic for want of one.
    let layer = layer.log_internal_errors(false);
    io::stdout().is_terminal().then_some(layer)
}

/// Text lines omit fields that are the same on all lines of a kind, or the same as another field.
const OMITTED_FIELDS: [&str; 8] = [
    "client.address",
    "client.port",
    "db.system.name",
    "messaging.consumer.group.name",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.system",
    "rpc.system.name",
];

fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    match field.name() {
        "message" => writer.write_str(&printable(value)),
        // JSON has the trace id in every line. Text has it only in the lines of calls: it is a field of their events.
        name if name == "trace_id" || is_shown(name) && !OMITTED_FIELDS.contains(&name) => {
            write!(writer, " {name}={}", printable(value))
        }
        _ => Ok(()),
    }
}

/// The value in one line. It may be a stranger's text, and must not steer the terminal.
fn printable(value: &dyn fmt::Debug) -> String {
    let text = format!("{value:?}");
    if text.contains(char::is_control) { text.escape_debug().to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_steers_terminals_is_escaped_and_others_stay_as_they_are() {
        assert_eq!(printable(&format_args!("\u{1b}[2J\nall is well")), r"\u{1b}[2J\nall is well");
        assert_eq!(printable(&format_args!("Postgres says \"no\"")), "Postgres says \"no\"");
    }
}
