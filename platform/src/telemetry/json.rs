//! Log lines as JSON objects: `ts`, `level`, `message`, then the line's fields.

use chrono::SecondsFormat;
use serde::Serialize;
use serde_json::{Map, Value};

use super::fields::Line;

#[derive(Serialize)]
struct JsonLine<'a> {
    ts: String,
    level: String,
    message: &'a str,
    #[serde(flatten)]
    fields: &'a Map<String, Value>,
}

/// Ends with a line break.
pub(super) fn json(line: &Line) -> String {
    let object = JsonLine {
        ts: line.at.to_rfc3339_opts(SecondsFormat::Micros, true),
        level: line.level.as_str().to_ascii_lowercase(),
        message: &line.message,
        fields: &line.fields,
    };
    // Texts, numbers and maps of JSON values always have a JSON form.
    let mut text = serde_json::to_string(&object).unwrap_or_default();
    text.push('\n');
    text
}
