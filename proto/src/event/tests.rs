#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

const PLACE: &str = "orders/3/42";

fn published_at() -> DateTime<Utc> {
    "2026-11-22T10:00:00.123456789Z".parse().unwrap()
}

fn read(text: &str) -> Result<Event, String> {
    Event::read(Some(text.as_bytes()), PLACE, published_at()).map_err(|error| error.to_string())
}

#[test]
fn an_event_looks_as_its_readers_expect_and_reads_as_it_was_written() {
    let event = Event {
        user: 1.try_into().unwrap(),
        order: 5.try_into().unwrap(),
        status: "awaiting payment".into(),
        text: "Order 5 \"awaits\" payment.".into(),
        id: "0b7e8d2c-6a9d-4f5e-9a51-2f8f6f1f3c11".into(),
        occurred_at: "2026-11-22T12:30:00.000250+01:00".parse().unwrap(),
    };
    assert_eq!(event.key(), "5");
    let written = String::from_utf8(event.write().unwrap()).unwrap();
    assert_eq!(
        written,
        r#"{"UserId":1,"OrderID":5,"Status":"awaiting payment","Message":"Order 5 \"awaits\" payment.","#.to_owned()
            + r#""EventID":"0b7e8d2c-6a9d-4f5e-9a51-2f8f6f1f3c11","OccurredAt":"2026-11-22T11:30:00.000250Z"}"#
    );
    assert_eq!(read(&written), Ok(event));
}

#[test]
fn an_event_of_loms_is_read() {
    let event = read(
        r#"{"UserId": 1, "OrderID": 5, "Status": "awaiting payment", "Message": "Pay, please",
            "EventID": "a2", "OccurredAt": "2026-11-21T23:59:59.9999999Z"}"#,
    )
    .unwrap();
    assert_eq!((event.user.get(), event.order.get()), (1, 5));
    assert_eq!((&*event.id, &*event.status, &*event.text), ("a2", "awaiting payment", "Pay, please"));
    assert_eq!(event.occurred_at.to_rfc3339(), "2026-11-21T23:59:59.999999+00:00");
}

#[test]
fn a_foreign_event_is_named_by_its_place_and_dated_by_its_publication() {
    for spare in ["", r#", "EventID": null"#, r#", "EventID": """#, r#", "Price": {"of": ["things"]}"#] {
        let event = read(&format!(r#"{{"UserID": 1, "OrderID": 5, "Status": "new", "Message": ""{spare}}}"#)).unwrap();
        assert_eq!(event.id, "orders/3/42");
        assert_eq!(event.occurred_at.to_rfc3339(), "2026-11-22T10:00:00.123456+00:00");
    }
    assert!(read(r#"{"UserId": 1, "UserID": 1, "OrderID": 5, "Status": "new", "Message": "m"}"#).is_ok());
}

#[test]
fn every_fault_of_an_event_is_told_at_once() {
    assert_eq!(
        read(r#"{"UserId": 0, "OrderID": "5", "Status": " ", "EventID": 7, "OccurredAt": "yesterday"}"#).unwrap_err(),
        "EventID must be a text; UserId must be above 0, is 0; OrderID must be a whole number of 64 bits; \
         Status must not be empty; Message is missing; \
         OccurredAt must be a moment of the years 1 to 9999 as RFC 3339 has it"
    );
    assert_eq!(read("{}").unwrap_err(), "UserId is missing; OrderID is missing; Status is missing; Message is missing");
}

#[test]
fn what_is_no_event_is_refused_with_the_reason() {
    let event = |change: &str| {
        let mut fields: Map<String, Value> =
            serde_json::from_str(r#"{"UserId": 1, "OrderID": 5, "Status": "new", "Message": "m"}"#).unwrap();
        fields.extend(serde_json::from_str::<Map<_, _>>(change).unwrap());
        read(&Value::Object(fields).to_string()).unwrap_err()
    };
    assert_eq!(event(r#"{"UserID": 2}"#), "UserId and UserID differ");
    assert_eq!(event(r#"{"OrderID": -5}"#), "OrderID must be above 0, is -5");
    assert_eq!(event(r#"{"OrderID": 5.0}"#), "OrderID must be a whole number of 64 bits");
    assert_eq!(event(r#"{"UserId": 9223372036854775808}"#), "UserId must be a whole number of 64 bits");
    assert_eq!(event(r#"{"Status": null}"#), "Status is missing");
    assert_eq!(event(r#"{"Message": "a\u0000b"}"#), "Message must not contain the NUL character");
    assert_eq!(event(r#"{"Message": ["m"]}"#), "Message must be a text");
    assert!(event(r#"{"OccurredAt": "0000-01-01T00:00:00Z"}"#).starts_with("OccurredAt must be"));
    assert!(event(r#"{"OccurredAt": 1700000000}"#).starts_with("OccurredAt must be"));
    let long = |name: &str, bytes: usize| event(&serde_json::json!({ name: "x".repeat(bytes) }).to_string());
    assert_eq!(long("Message", 65_537), "Message must be at most 65536 bytes, is 65537");
    assert_eq!(long("Status", 257), "Status must be at most 256 bytes, is 257");
    assert_eq!(long("EventID", 257), "EventID must be at most 256 bytes, is 257");

    assert_eq!(Event::read(None, PLACE, published_at()).unwrap_err().to_string(), "there is no payload");
    assert!(read("").unwrap_err().starts_with("is not JSON"));
    assert!(read("{").unwrap_err().starts_with("is not JSON"));
    assert!(read(&"[".repeat(1_000_000)).unwrap_err().starts_with("is not JSON"));
    assert_eq!(read(r#"[1, 5, "new", "m"]"#).unwrap_err(), "is JSON, but no object");
    let not_utf8 = Event::read(Some(b"{\"Message\": \"\xff\"}"), PLACE, published_at()).unwrap_err();
    assert!(not_utf8.to_string().starts_with("is not UTF-8"), "{not_utf8}");
}

#[test]
fn the_longest_fields_are_read() {
    let text = "x".repeat(MAX_TEXT_BYTES);
    let status = "s".repeat(MAX_STATUS_BYTES);
    let event = serde_json::json!({"UserId": i64::MAX, "OrderID": i64::MAX, "Status": status, "Message": text,
        "EventID": "e".repeat(MAX_ID_BYTES), "OccurredAt": "9999-12-31T23:59:59Z"});
    assert_eq!(read(&event.to_string()).unwrap().text.len(), MAX_TEXT_BYTES);
}
