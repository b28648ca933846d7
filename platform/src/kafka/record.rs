//! What is read of a record beside its payload.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    str,
};

use chrono::{DateTime, Datelike as _, Utc};
use rdkafka::message::{Headers as _, Message as _, OwnedMessage};

use crate::telemetry::trace::TRACEPARENT;

/// A longer key is left out of spans.
const MAX_KEY_BYTES: usize = 64;

/// The key, if it is a short text.
pub fn key(record: &OwnedMessage) -> Option<&str> {
    record.key().filter(|key| key.len() <= MAX_KEY_BYTES).and_then(|key| str::from_utf8(key).ok())
}

/// Where the record is, which is a name for it: `topic/partition/offset`.
pub fn place(record: &OwnedMessage) -> String {
    format!("{}/{}/{}", record.topic(), record.partition(), record.offset())
}

/// When the record was written, as the broker or its producer has it; now, if neither has a time that makes sense.
pub fn published_at(record: &OwnedMessage) -> DateTime<Utc> {
    let time = record.timestamp().to_millis().and_then(DateTime::from_timestamp_millis);
    time.filter(|time| (1..=9999).contains(&time.year())).unwrap_or_else(Utc::now)
}

/// The trace in which a record was written.
pub(super) fn traceparent(record: &OwnedMessage) -> Option<String> {
    let headers = record.headers()?;
    // The library panics at a header whose name is not UTF-8. Such a record has no trace, and no more harm to do.
    let found = catch_unwind(AssertUnwindSafe(|| {
        let header = headers.iter().find(|header| header.key == TRACEPARENT)?;
        str::from_utf8(header.value?).ok().map(str::to_owned)
    }));
    found.ok().flatten().filter(|value| is_traceparent(value))
}

/// Whether a value has the shape that <https://www.w3.org/TR/trace-context/> gives version 00.
fn is_traceparent(value: &str) -> bool {
    let lengths: Vec<_> = value.split('-').map(str::len).collect();
    lengths == [2, 32, 16, 2] && value.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}
