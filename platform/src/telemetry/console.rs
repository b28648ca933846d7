//! Log lines on standard output: JSON for programs, and a readable form for people where it is a terminal.

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

/// Writes a line as JSON.
pub(super) fn write(line: &Line) {
    // There is nowhere to say that it could not be written.
    let _ = io::stdout().lock().write_all(json(line).as_bytes());
}

/// The layer that writes for people; `None` where standard output is no terminal.
pub(super) fn for_people<S>() -> Option<impl Layer<S>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    // https://no-color.org
    let coloured = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let form = format().compact().with_target(false).with_timer(ChronoUtc::new("%H:%M:%S%.3fZ".into()));
    let layer = layer().with_ansi(coloured).event_format(form).fmt_fields(debug_fn(field));
    io::stdout().is_terminal().then_some(layer)
}

/// What says the same on every line of a kind, or the same as another field.
const LEFT_OUT: [&str; 8] = [
    "client.address",
    "client.port",
    "db.system.name",
    "messaging.consumer.group.name",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.system",
    "rpc.system.name",
];

fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    match field.name() {
        "message" => write!(writer, "{value:?}"),
        // Programs read it of every line; people need it of calls, whose answers name it.
        "trace_id" => write!(writer, " trace_id={value:?}"),
        name if is_shown(name) && !LEFT_OUT.contains(&name) => write!(writer, " {name}={value:?}"),
        _ => Ok(()),
    }
}
