//! The settings of a topic, by the names that Kafka has for them. What is not set is as Kafka has it by default, except
//! that a partition of this broker does not grow for ever.

use kafka_protocol::ResponseError::{self, InvalidConfig};
use serde::{Deserialize, Serialize};

const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
const RETENTION_MS: &str = "retention.ms";
const RETENTION_BYTES: &str = "retention.bytes";
const SEGMENT_BYTES: &str = "segment.bytes";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The largest batch, in bytes.
    pub max_message_bytes: usize,
    /// How long records are kept, in milliseconds; -1 for ever.
    pub retention_ms: i64,
    /// How many bytes a partition has at most, but for what is not read yet; -1 for any number.
    pub retention_bytes: i64,
    /// How large a file of a partition becomes. Records are forgotten a file at a time.
    pub segment_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_message_bytes: 1_048_588,
            retention_ms: 7 * 24 * 60 * 60 * 1000,
            retention_bytes: 1 << 30,
            segment_bytes: 64 << 20,
        }
    }
}

impl Settings {
    /// Settings of other names are those of other brokers, and change nothing here.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ResponseError> {
        fn number<T: std::str::FromStr>(value: &str) -> Result<T, ResponseError> {
            value.parse().map_err(|_| InvalidConfig)
        }
        match name {
            MAX_MESSAGE_BYTES => self.max_message_bytes = number(value)?,
            RETENTION_MS => self.retention_ms = number(value)?,
            RETENTION_BYTES => self.retention_bytes = number(value)?,
            SEGMENT_BYTES => self.segment_bytes = number(value)?,
            _ => {}
        }
        if self.retention_ms < -1 || self.retention_bytes < -1 { Err(InvalidConfig) } else { Ok(()) }
    }

    pub fn all(&self) -> [(&'static str, String); 4] {
        [
            (MAX_MESSAGE_BYTES, self.max_message_bytes.to_string()),
            (RETENTION_MS, self.retention_ms.to_string()),
            (RETENTION_BYTES, self.retention_bytes.to_string()),
            (SEGMENT_BYTES, self.segment_bytes.to_string()),
        ]
    }

    /// Whether records of this time are too old. Times are in milliseconds since 1970.
    pub fn is_old(&self, now: i64, time: i64) -> bool {
        self.retention_ms >= 0 && now.saturating_sub(time) > self.retention_ms
    }

    /// Whether a partition of so many bytes has enough, so that what is older can go.
    pub fn is_too_much(&self, bytes: u64) -> bool {
        u64::try_from(self.retention_bytes).is_ok_and(|most| bytes >= most)
    }
}
