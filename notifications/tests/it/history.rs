//! The history of a user.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use prost::Message as _;
use proto::notifications::{Date, GetHistoryWithPeriodRequest, Message};
use sqlx::PgPool;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::world::{World, event};

const USER: i64 = 7;

/// A request for days written as `2026-11-22`.
fn of_days(from: &str, to: &str) -> GetHistoryWithPeriodRequest {
    GetHistoryWithPeriodRequest { user: USER, from: day(from), to: day(to), ..Default::default() }
}

fn day(text: &str) -> Option<Date> {
    let numbers: Vec<i32> = text.split('.').map(|number| number.parse().unwrap()).collect();
    let [year, month, day] = numbers[..] else { panic!("{text} is no date") };
    Some(Date { year, month, day })
}

/// Keeps a message without an event.
async fn keep(pool: &PgPool, user: i64, occurred_at: DateTime<Utc>, text: &str) {
    sqlx::query(
        "INSERT INTO message (event_id, user_id, order_id, status, text, occurred_at)
        VALUES (gen_random_uuid(), $1, 1, 'new', $2, $3)",
    )
    .bind(user)
    .bind(text)
    .bind(occurred_at)
    .execute(pool)
    .await
    .unwrap();
}

/// Keeps so many messages of one text, a minute apart from `first` on.
async fn keep_many(pool: &PgPool, count: i32, first: &str, text: &str) {
    sqlx::query(
        "INSERT INTO message (event_id, user_id, order_id, status, text, occurred_at)
        SELECT gen_random_uuid(), $1, n, 'new', $2, $3 + n * interval '1 minute' FROM generate_series(1, $4) AS n",
    )
    .bind(USER)
    .bind(text)
    .bind(first.parse::<DateTime<Utc>>().unwrap())
    .bind(count)
    .execute(pool)
    .await
    .unwrap();
}

fn texts(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| &*message.message).collect()
}

fn violations(status: Status) -> Vec<(String, String)> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let violations = status.get_details_bad_request().unwrap().field_violations;
    violations.into_iter().map(|violation| (violation.field, violation.description)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_told_as_its_event_says() {
    let world = World::new().await;
    let replica = world.start().await;
    let mut event = event(USER, 5, "Please pay.");
    event["Status"] = "awaiting payment".into();
    event["OccurredAt"] = "2026-11-22T10:11:12.123456789+01:00".into();
    world.topics.publish(&event).await;
    world.until_kept(1).await;
    let [message] = &replica.client.history(USER).await[..] else { panic!("one message") };
    assert_eq!((message.user_id, message.order_id), (USER, 5));
    assert_eq!((&*message.status, &*message.message), ("awaiting payment", "Please pay."));
    let created_at = message.created_at.unwrap();
    assert_eq!((created_at.seconds, created_at.nanos), (1_795_338_672, 123_456_000));
    assert!(replica.client.history(USER + 1).await.is_empty());
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_goes_from_the_start_of_its_first_day_to_the_end_of_its_last_oldest_first() {
    let world = World::new().await;
    let replica = world.start().await;
    // Not in the order of time; two at the same time stay in the order of arrival.
    for (time, text) in [
        ("2026-11-23T23:59:59.999999Z", "last"),
        ("2026-11-24T00:00:00Z", "after"),
        ("2026-11-22T00:00:00Z", "first"),
        ("2026-11-22T12:00:00Z", "second"),
        ("2026-11-22T12:00:00Z", "third"),
        ("2026-11-21T23:59:59.999999Z", "before"),
    ] {
        keep(world.pool(), USER, time.parse().unwrap(), text).await;
    }
    keep(world.pool(), USER + 1, "2026-11-22T12:00:00Z".parse().unwrap(), "of somebody else").await;
    let read = async |from, to| {
        let page = replica.client.call(of_days(from, to)).await.unwrap();
        assert_eq!(page.next_page_token, "");
        texts(&page.messages).join(", ")
    };
    assert_eq!(read("2026.11.22", "2026.11.23").await, "first, second, third, last");
    assert_eq!(read("2026.11.22", "2026.11.22").await, "first, second, third");
    assert_eq!(read("2026.11.24", "2026.11.24").await, "after");
    assert_eq!(read("2026.11.25", "2026.11.25").await, "");
    assert_eq!(read("1.1.1", "9999.12.31").await, "before, first, second, third, last, after");
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_complete_and_without_doubles_also_while_messages_arrive() {
    let world = World::new().await;
    let replica = world.start().await;
    let first: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();
    // Three at each moment, so that pages end between equal ones.
    for number in 0..50 {
        keep(world.pool(), USER, first + TimeDelta::seconds(number / 3), &number.to_string()).await;
    }
    let mut request = GetHistoryWithPeriodRequest { page_size: 7, ..of_days("2026.11.22", "2026.11.22") };
    let mut read = Vec::new();
    let mut arrived = 50;
    loop {
        let page = replica.client.call(request.clone()).await.unwrap();
        assert!(page.messages.len() <= 7);
        read.extend(texts(&page.messages).into_iter().map(str::to_owned));
        if page.next_page_token.is_empty() {
            break;
        }
        assert_eq!(page.messages.len(), 7);
        request.page_token = page.next_page_token;
        // One before the reader's place, one behind it.
        keep(world.pool(), USER, first - TimeDelta::seconds(1), "missed").await;
        if arrived < 60 {
            keep(world.pool(), USER, first + TimeDelta::seconds(arrived), &arrived.to_string()).await;
            arrived += 1;
        }
    }
    let expected: Vec<_> = (0..arrived).map(|number| number.to_string()).collect();
    assert_eq!(read, expected);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_ten_thousand_messages_unless_less_is_asked_for() {
    let world = World::new().await;
    let replica = world.start().await;
    keep_many(world.pool(), 10_001, "2026-11-01T00:00:00Z", &"An order has been paid. ".repeat(10)).await;
    for page_size in [0, 10_001, u32::MAX] {
        let request = GetHistoryWithPeriodRequest { page_size, ..of_days("2026.11.1", "2026.11.30") };
        let page = replica.client.call(request.clone()).await.unwrap();
        assert_eq!(page.messages.len(), 10_000);
        let rest = GetHistoryWithPeriodRequest { page_token: page.next_page_token, ..request };
        let rest = replica.client.call(rest).await.unwrap();
        assert_eq!((rest.messages.len(), &*rest.next_page_token), (1, ""));
    }
    for (page_size, more) in [(10_000, true), (3, true)] {
        let request = GetHistoryWithPeriodRequest { page_size, ..of_days("2026.11.1", "2026.11.30") };
        let page = replica.client.call(request).await.unwrap();
        assert_eq!((page.messages.len(), !page.next_page_token.is_empty()), (page_size as usize, more));
    }
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_long_messages_ends_early_so_that_clients_take_it() {
    let world = World::new().await;
    let replica = world.start().await;
    keep_many(world.pool(), 150, "2026-11-01T00:00:00Z", &"x".repeat(64 * 1024)).await;
    let mut request = of_days("2026.11.1", "2026.11.30");
    let mut orders = BTreeSet::new();
    let mut pages = 0;
    loop {
        let page = replica.client.call(request.clone()).await.unwrap();
        assert!(page.encoded_len() < 4 * 1024 * 1024, "{}", page.encoded_len());
        assert!(page.messages.iter().all(|message| orders.insert(message.order_id)), "no message comes twice");
        pages += 1;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!((orders.len(), pages), (150, 3));
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violation_of_a_request_is_told_at_once() {
    let world = World::new().await;
    let replica = world.start().await;
    let no_day = "must be a day of the calendar, with a year from 1 to 9999";
    let no_token = "must be the next_page_token of a page of this user and period";
    let call = async |request: GetHistoryWithPeriodRequest| {
        let found = violations(replica.client.call(request).await.unwrap_err());
        found.iter().map(|(field, description)| format!("{field}: {description}")).collect::<Vec<_>>().join("\n")
    };
    let worst = GetHistoryWithPeriodRequest {
        user: 0,
        from: None,
        to: day("2023.2.29"),
        page_size: 0,
        page_token: "nonsense".into(),
    };
    assert_eq!(
        call(worst).await,
        format!("user: must be above 0, is 0\nfrom: is required\nto: {no_day}\npage_token: {no_token}")
    );
    let negative = GetHistoryWithPeriodRequest { user: -1, to: None, ..of_days("2026.11.1", "2026.11.1") };
    assert_eq!(call(negative).await, "user: must be above 0, is -1\nto: is required");
    assert_eq!(call(of_days("2026.11.2", "2026.11.1")).await, "to: must not be before `from`");
    for none in
        ["0.1.1", "10000.1.1", "-1.1.1", "2026.0.1", "2026.13.1", "2026.-1.1", "2026.4.31", "2026.1.0", "1900.2.29"]
    {
        assert_eq!(call(of_days(none, "9999.12.31")).await, format!("from: {no_day}"), "{none}");
    }
    assert!(replica.client.call(of_days("2024.2.29", "9999.12.31")).await.is_ok());
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_is_good_for_its_user_and_period_only() {
    let world = World::new().await;
    let replica = world.start().await;
    keep_many(world.pool(), 3, "2026-11-22T12:00:00Z", "m").await;
    let request = GetHistoryWithPeriodRequest { page_size: 1, ..of_days("2026.11.22", "2026.11.22") };
    let token = replica.client.call(request.clone()).await.unwrap().next_page_token;
    let with = |page_token: String| GetHistoryWithPeriodRequest { page_token, ..request.clone() };
    assert_eq!(replica.client.call(with(token.clone())).await.unwrap().messages.len(), 1);
    for broken in [format!("{token} "), token[1..].to_owned(), token.to_uppercase(), "0".repeat(48), "é".repeat(24)] {
        let found = violations(replica.client.call(with(broken.clone())).await.unwrap_err());
        assert_eq!(found.len(), 1, "{broken}");
        assert_eq!(found[0].0, "page_token", "{broken}");
    }
    let elsewhere = GetHistoryWithPeriodRequest { from: day("2026.11.23"), to: day("2026.11.23"), ..with(token) };
    assert_eq!(violations(replica.client.call(elsewhere.clone()).await.unwrap_err())[0].0, "page_token");
    let of_another = GetHistoryWithPeriodRequest { user: USER + 1, from: request.from, to: request.to, ..elsewhere };
    assert_eq!(violations(replica.client.call(of_another).await.unwrap_err())[0].0, "page_token");
    replica.stop().await;
}
