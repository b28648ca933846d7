//! The program: its signals, its log, its metrics.

use std::time::Instant;

use rdkafka::message::{Header, OwnedHeaders};
use rustix::process::Signal;
use serde_json::json;
use stack::telegram::Fault;
use stack::testing::eventually;

use crate::{
    binary::Fleet,
    world::{API_KEY, event},
};

#[tokio::test(flavor = "multi_thread")]
async fn sigusr1_pauses_and_resumes_and_sigterm_ends_with_0() {
    let fleet = Fleet::new().await;
    fleet.topics.create().await;
    let mut program = fleet.start().await;
    fleet.topics.publish(&event(1, 3, "before")).await;
    program.until_metric(r#"notifications_deliveries_total{result="sent"}"#, 1.0).await;
    program.until_metric("notifications_consumption_paused", 0.0).await;

    fleet.telegram.misbehave(Fault { status: Some(500), ..Fault::default() });
    program.process.signal(Signal::USR1);
    program.until_metric("notifications_consumption_paused", 1.0).await;
    program.until_logged("consumption is paused").await;
    for number in 0..9 {
        fleet.topics.publish(&event(1, number + 1, "meanwhile")).await;
    }
    // Deliveries and the history go on.
    sqlx::query(
        "WITH kept AS (
            INSERT INTO message (event_id, user_id, order_id, status, text, occurred_at)
            VALUES ('x', 1, 3, 'paid', 'told', now()) RETURNING id, order_id
        )
        INSERT INTO delivery (message_id, order_id) SELECT id, order_id FROM kept",
    )
    .execute(&fleet.database.pool)
    .await
    .unwrap();
    program.until_metric(r#"notifications_deliveries_total{result="sent"}"#, 2.0).await;
    assert_eq!(program.client.history(1).await.len(), 2);
    assert_eq!(fleet.kept().await, 2, "nothing is read");
    program.until_metric("notifications_consumer_lag_events", 9.0).await;

    program.process.signal(Signal::USR1);
    program.until_metric("notifications_consumption_paused", 0.0).await;
    program.until_metric(r#"notifications_deliveries_total{result="sent"}"#, 11.0).await;
    assert_eq!(program.metric(r#"notifications_deliveries_total{result="failed"}"#).await, Some(1.0));
    assert_eq!(fleet.kept().await, 11);
    fleet.topics.until_all_committed().await;
    program.until_metric("notifications_consumer_lag_events", 0.0).await;
    assert_eq!(program.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_replica_tells_the_lag_of_its_own_partitions_and_both_together_all_of_it() {
    let fleet = Fleet::new().await;
    fleet.topics.create().await;
    let mut first = fleet.start().await;
    let events: Vec<_> = (1..=9).map(|order| event(1, order, "before")).collect();
    fleet.topics.publish_all(&events).await;
    fleet.topics.until_all_committed().await;
    let mut second = fleet.start().await;
    fleet.topics.until_members(2).await;
    for program in [&mut first, &mut second] {
        program.process.signal(Signal::USR1);
        program.until_metric("notifications_consumption_paused", 1.0).await;
    }
    for number in 1..=30 {
        fleet.topics.publish(&event(1, number, "meanwhile")).await;
    }
    let lags = eventually("both tell of it", async || {
        let lags = [&first, &second].map(|program| program.metric("notifications_consumer_lag_events"));
        let [first, second] = futures::future::join_all(lags).await[..] else { return None };
        let lags = (first?, second?);
        (lags.0 + lags.1 == 30.0).then_some(lags)
    })
    .await;
    assert!(lags == (10.0, 20.0) || lags == (20.0, 10.0), "{lags:?}");
    for program in [&mut first, &mut second] {
        program.process.signal(Signal::USR1);
    }
    for program in [&mut first, &mut second] {
        program.until_metric("notifications_consumer_lag_events", 0.0).await;
        assert_eq!(program.stop().await, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ages_of_events_and_messages_are_those_since_they_occurred_and_repetitions_have_none() {
    let fleet = Fleet::new().await;
    fleet.topics.create().await;
    let mut old = event(1, 3, "two minutes old");
    old["OccurredAt"] = json!((chrono::Utc::now() - chrono::TimeDelta::minutes(2)).to_rfc3339());
    fleet.topics.publish_all(&[old.clone(), old.clone(), old]).await;
    let mut ahead = event(1, 4, "by a clock that is ahead");
    ahead["OccurredAt"] = json!((chrono::Utc::now() + chrono::TimeDelta::minutes(2)).to_rfc3339());
    fleet.topics.publish(&ahead).await;
    let mut program = fleet.start().await;
    program.until_metric(r#"notifications_events_total{result="duplicate"}"#, 2.0).await;
    program.until_metric(r#"notifications_deliveries_total{result="sent"}"#, 2.0).await;
    for histogram in ["notifications_event_age_seconds", "notifications_delivery_age_seconds"] {
        for (bound, count) in [("0.05", 1.0), ("60", 1.0), ("300", 2.0), ("+Inf", 2.0)] {
            let name = format!(r#"{histogram}_bucket{{le="{bound}"}}"#);
            assert_eq!(program.metric(&name).await, Some(count), "{name}");
        }
    }
    assert_eq!(program.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_shows_the_token_and_every_delivery_has_the_trace_of_its_event() {
    let fleet = Fleet::new().await;
    fleet.topics.create().await;
    for status in [500, 400, 301] {
        fleet.telegram.misbehave(Fault { status: Some(status), ..Fault::default() });
    }
    fleet.telegram.misbehave(Fault { status: Some(429), retry_after: Some(1), ..Fault::default() });
    fleet.telegram.misbehave(Fault { hang: true, ..Fault::default() });
    let mut program = fleet.start().await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let traceparent = format!("00-{trace}-b7ad6b7169203331-01");
    let headers = OwnedHeaders::new().insert(Header { key: "traceparent", value: Some(&traceparent) });
    fleet.topics.put_with(0, Some(event(1, 3, "refused").to_string().as_bytes()), headers.clone()).await;
    fleet.topics.put_with(0, Some(event(1, 3, "told").to_string().as_bytes()), headers).await;
    fleet.topics.put(0, Some(b"poison")).await;
    program.until_metric(r#"notifications_deliveries_total{result="sent"}"#, 1.0).await;
    program.until_metric(r#"notifications_deliveries_total{result="dead"}"#, 1.0).await;
    program.until_metric(r#"notifications_deliveries_total{result="rate_limited"}"#, 1.0).await;
    program.until_metric(r#"notifications_events_total{result="dead_lettered"}"#, 1.0).await;
    program.until_metric("notifications_deliveries_dead", 1.0).await;

    let address = fleet.telegram.address();
    let Fleet { telegram, topics, .. } = &fleet;
    topics.put(0, Some(event(1, 3, "later").to_string().as_bytes())).await;
    program.until_metric(r#"notifications_deliveries_total{result="sent"}"#, 2.0).await;
    assert_eq!(telegram.address(), address);
    assert_eq!(program.stop().await, Some(0));

    let log = program.logged();
    let secret = API_KEY.split(':').next_back().unwrap();
    assert!(!log.contains(secret), "{:?}", log.lines().find(|line| line.contains(secret)));
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect();
    let said = |message: &str| lines.iter().filter(|line| line["message"] == message).collect::<Vec<_>>();
    let delivered = said("message delivered");
    assert_eq!(delivered.len(), 2);
    assert_eq!(delivered[0]["trace_id"], trace);
    assert_eq!(said("message refused for good")[0]["trace_id"], trace);
    assert_eq!(said("event is unreadable and becomes a dead letter").len(), 1);
    let kept: Vec<String> = sqlx::query_scalar("SELECT traceparent FROM message WHERE text <> 'later'")
        .fetch_all(&fleet.database.pool)
        .await
        .unwrap();
    assert!(kept.iter().all(|kept| kept.contains(trace) && *kept != traceparent), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_there_from_the_start() {
    let fleet = Fleet::new().await;
    let mut program = fleet.start().await;
    for name in [
        r#"notifications_events_total{result="stored"}"#,
        r#"notifications_events_total{result="duplicate"}"#,
        r#"notifications_events_total{result="dead_lettered"}"#,
        r#"notifications_deliveries_total{result="sent"}"#,
        r#"notifications_deliveries_total{result="rate_limited"}"#,
        r#"notifications_deliveries_total{result="failed"}"#,
        r#"notifications_deliveries_total{result="dead"}"#,
        "notifications_deliveries_due",
        "notifications_deliveries_dead",
        "notifications_deliveries_oldest_due_seconds",
        "notifications_consumption_paused",
        "notifications_consumer_lag_events",
        "notifications_dead_letters_owed",
        "notifications_dead_letter_failures_total",
        "notifications_telegram_request_seconds_count",
        "notifications_event_age_seconds_count",
        "notifications_delivery_age_seconds_count",
        r#"postgres_transactions_total{outcome="committed",transaction="keep_messages"}"#,
        r#"postgres_transactions_total{outcome="failed",transaction="settle_deliveries"}"#,
        r#"postgres_transaction_retries_total{transaction="read_history"}"#,
    ] {
        assert_eq!(program.metric(name).await, Some(0.0), "{name}");
    }
    assert_eq!(program.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_it_serves_and_stops_as_ever() {
    let mut fleet = Fleet::new().await;
    fleet.topics.create().await;
    let mut program = fleet.start().await;
    fleet.topics.publish(&event(1, 3, "before")).await;
    program.until_metric(r#"notifications_events_total{result="stored"}"#, 1.0).await;
    fleet.broker.take().unwrap().stop().await;
    program.until_logged("Kafka fails; reading goes on when it is back").await;
    assert_eq!(program.client.history(1).await.len(), 1);
    assert_eq!(program.get("/readyz").await.as_deref(), Some("ready\n"));
    let asked = Instant::now();
    assert_eq!(program.stop().await, Some(0));
    assert!(asked.elapsed().as_secs() < 7, "{:?}", asked.elapsed());

    // Nor does it need one to start.
    let mut program = fleet.start().await;
    assert_eq!(program.client.history(1).await.len(), 1);
    assert_eq!(program.stop().await, Some(0));
}
