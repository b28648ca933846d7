//! Reads the parts of a record other than its payload.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    str,
};

use chrono::{DateTime, Datelike as _, Utc};
use rdkafka::message::{Headers as _, Message as _, OwnedMessage};

use crate::telemetry::trace::TRACEPARENT;

const MAX_KEY_BYTES: usize = 64;

/// The key for spans; `None` if it is long or not text.
pub(super) fn key(record: &OwnedMessage) -> Option<&str> {
    record.key().filter(|key| key.len() <= MAX_KEY_BYTES).and_then(|key| str::from_utf8(key).ok())
}

/// An identifier of the record: `topic/partition/offset`.
pub fn place(record: &OwnedMessage) -> String {
    format!("{}/{}/{}", record.topic(), record.partition(), record.offset())
}

/// The timestamp of the record, or the current time if the timestamp is missing or impossible.
pub fn published_at(record: &OwnedMessage) -> DateTime<Utc> {
    let time = record.timestamp().to_millis().and_then(DateTime::from_timestamp_millis);
    time.filter(|time| (1..=9999).contains(&time.year())).unwrap_or_else(Utc::now)
}

pub(super) fn traceparent(record: &OwnedMessage) -> Option<String> {
    let headers = record.headers()?;
    // rdkafka panics at a header whose name is not UTF-8. Such a record has no traceparent.
    let found = catch_unwind(AssertUnwindSafe(|| {
        let header = headers.iter().find(|header| header.key == TRACEPARENT)?;
        str::from_utf8(header.value?).ok().map(str::to_owned)
    }));
    found.ok().flatten().filter(|value| is_traceparent(value))
}

/// Checks the shape of version 00 in <https://www.w3.org/TR/trace-context/>.
fn is_traceparent(value: &str) -> bool {
    let lengths: Vec<_> = value.split('-').map(str::len).collect();
    lengths == [2, 32, 16, 2] && value.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}
