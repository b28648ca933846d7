//! How a dead letter is shown: to programs as JSON, to people in lines.

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use platform::{
    kafka::{Letter, Origin, Place},
    terminal::{ago, count, moment, printable},
};
use serde::Serialize;

/// Bytes in a line of a dump.
const DUMPED: usize = 16;

/// A letter in a list, for programs.
#[derive(Serialize)]
pub(super) struct Listed {
    partition: i32,
    offset: i64,
    written_at: Option<DateTime<Utc>>,
    error: Option<String>,
    origin: Option<RecordPlace>,
    #[serde(flatten)]
    key: Key,
    /// Of the body.
    size_bytes: usize,
}

/// Where a record was, for programs.
#[derive(Serialize)]
pub(super) struct RecordPlace {
    topic: String,
    partition: i32,
    offset: i64,
}

impl RecordPlace {
    pub(super) fn of(Origin { topic, place: Place { partition, offset } }: Origin) -> Self {
        Self { topic, partition, offset }
    }
}

/// What is no text is Base64.
#[derive(Serialize)]
struct Key {
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
}

#[derive(Serialize)]
struct Field<'a> {
    name: &'a str,
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

/// A whole letter, for programs.
#[derive(Serialize)]
pub(super) struct Whole<'a> {
    #[serde(flatten)]
    listed: Listed,
    headers: Vec<Field<'a>>,
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

/// Bytes as text, or else as Base64.
fn text_or_base64(bytes: Option<&[u8]>) -> (Option<String>, Option<String>) {
    match bytes.map(|bytes| str::from_utf8(bytes).map_err(|_| BASE64_STANDARD.encode(bytes))) {
        None => (None, None),
        Some(Ok(text)) => (Some(text.to_owned()), None),
        Some(Err(encoded)) => (None, Some(encoded)),
    }
}

impl Listed {
    pub(super) fn of(letter: &Letter) -> Self {
        let Place { partition, offset } = letter.place();
        let (key, key_base64) = text_or_base64(letter.key());
        Self {
            partition,
            offset,
            written_at: letter.written_at(),
            error: letter.error().map(str::to_owned),
            origin: letter.origin().map(RecordPlace::of),
            key: Key { key, key_base64 },
            size_bytes: letter.payload().map_or(0, <[u8]>::len),
        }
    }
}

impl<'a> Whole<'a> {
    pub(super) fn of(letter: &'a Letter) -> Self {
        let headers = letter.headers().map(|(name, value)| {
            let (value, value_base64) = text_or_base64(value.as_deref());
            Field { name, value, value_base64 }
        });
        let (body, body_base64) = text_or_base64(letter.payload());
        Self { listed: Listed::of(letter), headers: headers.collect(), body, body_base64 }
    }
}

/// A short text of bytes for a line.
pub(super) fn line(bytes: Option<&[u8]>) -> String {
    match bytes.map(str::from_utf8) {
        None => "(none)".to_owned(),
        Some(Ok(text)) => printable(text),
        Some(Err(_)) => bytes.unwrap_or_default().escape_ascii().to_string(),
    }
}

/// The origin of a letter, for a line.
pub(super) fn origin(letter: &Letter) -> String {
    letter.origin().map_or_else(|| "(unknown)".to_owned(), |origin| printable(&origin.to_string()))
}

/// A whole letter for people.
pub(super) fn told(letter: &Letter, topic: &str, now: DateTime<Utc>) -> String {
    let written = letter
        .written_at()
        .map_or_else(|| "(unknown)".to_owned(), |time| format!("{}, {}", moment(time), ago(time, now)));
    let error = letter.error().map_or_else(|| "(nobody says)".to_owned(), printable);
    let size = count(letter.payload().map_or(0, <[u8]>::len), "byte", "bytes");
    let mut text = format!(
        "letter   {topic}/{}\nwritten  {written}\nfrom     {}\nerror    {error}\nkey      {}\nsize     {size}\n\nheaders\n",
        letter.place(),
        origin(letter),
        line(letter.key()),
    );
    for (name, value) in letter.headers() {
        let _ = writeln!(text, "  {}: {}", printable(name), line(value.as_deref()));
    }
    text.push_str("\nbody\n");
    text.push_str(&body(letter.payload()));
    text
}

/// Text as it is, and what would not look like text as a dump of its bytes.
fn body(payload: Option<&[u8]>) -> String {
    let Some(bytes) = payload else { return "(there is none)".to_owned() };
    let is_text = |text: &&str| !text.contains(|letter: char| letter.is_control() && !"\n\r\t".contains(letter));
    if let Some(text) = str::from_utf8(bytes).ok().filter(is_text) {
        return text.to_owned();
    }
    let dumped = bytes.chunks(DUMPED).enumerate().map(|(number, chunk)| {
        let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
        let text: String = chunk.iter().map(shown).collect();
        format!("{:08x}  {:<width$}  {text}", number * DUMPED, hex.join(" "), width = 3 * DUMPED - 1)
    });
    dumped.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_no_text_is_dumped() {
        assert_eq!(body(Some(b"{\"a\":\n1}")), "{\"a\":\n1}");
        assert_eq!(body(None), "(there is none)");
        assert_eq!(
            body(Some(b"\x1b[2J and more than a line")),
            "00000000  1b 5b 32 4a 20 61 6e 64 20 6d 6f 72 65 20 74 68  .[2J and more th\n\
             00000010  61 6e 20 61 20 6c 69 6e 65                       an a line"
        );
        assert_eq!(line(Some(b"\xff7")), "\\xff7");
    }
}
