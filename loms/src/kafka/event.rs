//! An event as readers of the topic see it.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::store::outbox::Unsent;

/// The value of a record, as JSON.
#[derive(Serialize)]
struct Value<'a> {
    #[serde(rename = "UserId")]
    user: i64,
    #[serde(rename = "OrderID")]
    order: i64,
    #[serde(rename = "Status")]
    status: &'static str,
    #[serde(rename = "Message")]
    message: &'a str,
    #[serde(rename = "EventID")]
    event_id: Uuid,
    #[serde(rename = "OccurredAt", serialize_with = "rfc3339")]
    occurred_at: DateTime<Utc>,
}

fn rfc3339<S: Serializer>(moment: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&moment.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// The key of an event's record: events of one order share a partition, and with it their order.
pub fn key(event: &Unsent) -> String {
    event.order.to_string()
}

/// The value of an event's record.
pub fn value(event: &Unsent) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Value {
        user: event.user.get(),
        order: event.order.get(),
        status: event.status.as_str(),
        message: &event.message,
        event_id: event.event_id,
        occurred_at: event.occurred_at,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::domain::status::Status;

    #[test]
    fn an_event_looks_as_its_readers_expect() {
        let event = Unsent {
            id: 9,
            event_id: "0b7e8d2c-6a9d-4f5e-9a51-2f8f6f1f3c11".parse().unwrap(),
            order: 5.try_into().unwrap(),
            user: 1.try_into().unwrap(),
            status: Status::AwaitingPayment,
            message: "Order 5 \"awaits\" payment.".into(),
            traceparent: None,
            occurred_at: "2026-11-22T12:30:00.000250+01:00".parse().unwrap(),
        };
        assert_eq!(key(&event), "5");
        assert_eq!(
            String::from_utf8(value(&event).unwrap()).unwrap(),
            r#"{"UserId":1,"OrderID":5,"Status":"awaiting payment","Message":"Order 5 \"awaits\" payment.","#
                .to_owned()
                + r#""EventID":"0b7e8d2c-6a9d-4f5e-9a51-2f8f6f1f3c11","OccurredAt":"2026-11-22T11:30:00.000250Z"}"#
        );
    }
}
