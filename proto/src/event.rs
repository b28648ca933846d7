//! Order events and the topics they travel by, as LOMS writes them and everybody reads them. Events of others are read
//! too: those that spell `UserID` or have no `EventID`.

use std::fmt;

use chrono::{DateTime, Datelike as _, SecondsFormat, SubsecRound as _, Utc};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::ids::{OrderId, UserId};

/// A topic that LOMS creates where it is missing.
#[derive(Debug, Clone, Copy)]
pub struct Topic {
    pub name: &'static str,
    pub partitions: i32,
    /// Names and values of its settings, where the broker's defaults do not serve.
    pub settings: &'static [(&'static str, &'static str)],
}

/// Order events. The key is the order's number, so events of one order share a partition and keep their order.
pub const ORDERS: Topic = Topic { name: "orders", partitions: 3, settings: &[] };

/// Where a reader puts what it cannot read. A record as large as [`ORDERS`] takes (1 MiB, by Kafka's default) must fit
/// with its error and origin. Somebody has to look at it, so it stays until it is deleted by hand.
pub const ORDERS_DLQ: Topic = Topic {
    name: "orders.dlq",
    partitions: 1,
    settings: &[("max.message.bytes", "2097152"), ("retention.ms", "-1"), ("retention.bytes", "-1")],
};

/// The longest `EventID`, in bytes.
pub const MAX_ID_BYTES: usize = 256;
/// The longest `Status`, in bytes.
pub const MAX_STATUS_BYTES: usize = 256;
/// The longest `Message`, in bytes; Telegram takes 4,096 characters.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;

/// A status that an order took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    #[serde(rename = "UserId", serialize_with = "number")]
    pub user: UserId,
    #[serde(rename = "OrderID", serialize_with = "number")]
    pub order: OrderId,
    #[serde(rename = "Status")]
    pub status: String,
    /// What the user is told.
    #[serde(rename = "Message")]
    pub text: String,
    /// The same event has the same id however often it is published.
    #[serde(rename = "EventID")]
    pub id: String,
    /// In whole microseconds.
    #[serde(rename = "OccurredAt", serialize_with = "rfc3339")]
    pub occurred_at: DateTime<Utc>,
}

fn number<S: Serializer>(id: &(impl Copy + Into<i64>), serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64((*id).into())
}

fn rfc3339<S: Serializer>(moment: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&moment.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// Every reason why a record is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct Unreadable(Vec<String>);

impl Event {
    /// The key of its record.
    pub fn key(&self) -> String {
        self.order.to_string()
    }

    /// The value of its record.
    pub fn write(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads the value of a record. The record's place in its topic (`topic/partition/offset`) names an event that has no
    /// id of its own, and the time of its publication dates one that has no date.
    pub fn read(payload: Option<&[u8]>, place: &str, published_at: DateTime<Utc>) -> Result<Self, Unreadable> {
        let mut fields = Fields::of(payload).map_err(|fault| Unreadable(vec![fault]))?;
        let id = fields.take("EventID").and_then(|value| fields.text("EventID", value, MAX_ID_BYTES));
        let user = fields.user();
        let order = fields.required("OrderID").and_then(|value| fields.id("OrderID", value));
        let status = fields.required("Status").and_then(|value| fields.text("Status", value, MAX_STATUS_BYTES));
        let status = status.and_then(|status| fields.not_blank("Status", status));
        let text = fields.required("Message").and_then(|value| fields.text("Message", value, MAX_TEXT_BYTES));
        let occurred_at = fields.take("OccurredAt").and_then(|value| fields.time("OccurredAt", value));
        match (user, order, status, text) {
            (Some(user), Some(order), Some(status), Some(text)) if fields.faults.is_empty() => {
                let id = id.filter(|id| !id.is_empty()).unwrap_or_else(|| place.to_owned());
                // Postgres counts in microseconds, and must not round up into the next day.
                let occurred_at = occurred_at.unwrap_or(published_at).trunc_subsecs(6);
                Ok(Self { id, user, order, status, text, occurred_at })
            }
            (_, _, _, _) => Err(Unreadable(fields.faults)),
        }
    }
}

struct Fields {
    map: Map<String, Value>,
    faults: Vec<String>,
}

impl Fields {
    fn of(payload: Option<&[u8]>) -> Result<Self, String> {
        let payload = payload.ok_or("there is no payload")?;
        let text = std::str::from_utf8(payload).map_err(|error| format!("is not UTF-8: {error}"))?;
        match serde_json::from_str(text) {
            Ok(Value::Object(map)) => Ok(Self { map, faults: Vec::new() }),
            Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                Err("is JSON, but no object".into())
            }
            Err(error) => Err(format!("is not JSON: {error}")),
        }
    }

    /// Takes a value out; `null` is as good as nothing.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    fn required(&mut self, name: &str) -> Option<Value> {
        self.take(name).or_else(|| self.fault(format!("{name} is missing")))
    }

    fn fault<T>(&mut self, fault: String) -> Option<T> {
        self.faults.push(fault);
        None
    }

    /// `UserId` is LOMS's spelling, `UserID` that of others.
    fn user(&mut self) -> Option<UserId> {
        match (self.take("UserId"), self.take("UserID")) {
            (Some(one), Some(other)) if one != other => self.fault("UserId and UserID differ".into()),
            (Some(user), _) => self.id("UserId", user),
            (None, Some(user)) => self.id("UserID", user),
            (None, None) => self.fault("UserId is missing".into()),
        }
    }

    fn id<T: TryFrom<i64, Error: fmt::Display>>(&mut self, name: &str, value: Value) -> Option<T> {
        let Some(number) = value.as_i64() else {
            return self.fault(format!("{name} must be a whole number of 64 bits"));
        };
        T::try_from(number).map_or_else(|error| self.fault(format!("{name} {error}")), Some)
    }

    fn text(&mut self, name: &str, value: Value, max_bytes: usize) -> Option<String> {
        let Value::String(text) = value else {
            return self.fault(format!("{name} must be a text"));
        };
        if text.len() > max_bytes {
            return self.fault(format!("{name} must be at most {max_bytes} bytes, is {}", text.len()));
        }
        // Postgres cannot keep it.
        if text.contains('\0') {
            return self.fault(format!("{name} must not contain the NUL character"));
        }
        Some(text)
    }

    fn not_blank(&mut self, name: &str, text: String) -> Option<String> {
        if text.trim().is_empty() { self.fault(format!("{name} must not be empty")) } else { Some(text) }
    }

    fn time(&mut self, name: &str, value: Value) -> Option<DateTime<Utc>> {
        let time = value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok()).map(|time| time.to_utc());
        time.filter(|time| (1..=9999).contains(&time.year()))
            .or_else(|| self.fault(format!("{name} must be a moment of the years 1 to 9999 as RFC 3339 has it")))
    }
}

#[cfg(test)]
mod tests;
