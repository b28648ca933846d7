//! Reads the parts of a record other than its payload.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    str,
};

use chrono::{DateTime, Datelike as _, Utc};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedMessage};

use crate::telemetry::trace::TRACEPARENT;

const MAX_KEY_BYTES: usize = 64;

/// The header of a record that was a dead letter: where it was read first.
pub(super) const REPLAYED_FROM: &str = "replayed-from";
/// The longest name that Kafka allows for a topic, and two numbers.
const MAX_PLACE_BYTES: usize = 249 + 32;

/// The key for spans; `None` if it is long or not text.
pub(super) fn key(record: &OwnedMessage) -> Option<&str> {
    record.key().filter(|key| key.len() <= MAX_KEY_BYTES).and_then(|key| str::from_utf8(key).ok())
}

/// An identifier of the record: `topic/partition/offset`, where it was read first.
pub fn place(record: &OwnedMessage) -> String {
    header(record, REPLAYED_FROM)
        .filter(|place| is_place(place))
        .unwrap_or_else(|| format!("{}/{}/{}", record.topic(), record.partition(), record.offset()))
}

fn is_place(text: &str) -> bool {
    let mut parts = text.rsplitn(3, '/');
    let is_number = |part: Option<&str>| part.is_some_and(|part| part.parse::<u64>().is_ok());
    let is_topic = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    text.len() <= MAX_PLACE_BYTES
        && is_number(parts.next())
        && is_number(parts.next())
        && parts.next().is_some_and(is_topic)
}

/// The timestamp of the record, or the current time if the timestamp is missing or impossible.
pub fn published_at(record: &OwnedMessage) -> DateTime<Utc> {
    let time = record.timestamp().to_millis().and_then(DateTime::from_timestamp_millis);
    time.filter(|time| (1..=9999).contains(&time.year())).unwrap_or_else(Utc::now)
}

pub(super) fn traceparent(record: &OwnedMessage) -> Option<String> {
    header(record, TRACEPARENT).filter(|value| is_traceparent(value))
}

/// The value of the first header of a name, if it is text.
fn header(record: &OwnedMessage, name: &str) -> Option<String> {
    let found = headers(record).flatten().find(|header| header.key == name)?;
    str::from_utf8(found.value?).ok().map(str::to_owned)
}

/// The headers of the record; `None` for one whose name is not UTF-8, at which rdkafka panics.
pub(super) fn headers(record: &OwnedMessage) -> impl Iterator<Item = Option<Header<'_, &[u8]>>> {
    let all = record.headers().into_iter();
    let places = all.flat_map(|headers| (0..headers.count()).map(move |index| (headers, index)));
    places.map(|(headers, index)| catch_unwind(AssertUnwindSafe(|| headers.try_get(index))).ok().flatten())
}

/// Checks the shape of version 00 in <https://www.w3.org/TR/trace-context/>.
fn is_traceparent(value: &str) -> bool {
    let lengths: Vec<_> = value.split('-').map(str::len).collect();
    lengths == [2, 32, 16, 2] && value.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}
