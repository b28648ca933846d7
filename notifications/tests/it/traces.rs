//! The traces of what becomes of an event: it is read, or buried, and told, at the first attempt or a later one.

use rdkafka::message::{Header, OwnedHeaders};
use serde_json::{Value, json};
use stack::testing::eventually;
use stack::{
    collector::{Collector, Span, SpanKind, StatusCode},
    ports,
    telegram::Fault,
};

use crate::{
    binary::Fleet,
    topics::PARTITIONS,
    world::{API_KEY, event},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SENDER: &str = "b7ad6b7169203331";

/// A program whose spans a collector receives.
async fn traced() -> (Fleet, Collector) {
    let mut fleet = Fleet::new().await;
    fleet.topics.create().await;
    let collector = Collector::start(ports::loopback(0)).unwrap();
    fleet.more = format!("jaeger: {{endpoint: '{}'}}", collector.url());
    (fleet, collector)
}

fn headers(traceparent: &str) -> OwnedHeaders {
    OwnedHeaders::new().insert(Header { key: "traceparent", value: Some(traceparent) })
}

fn sampled() -> OwnedHeaders {
    headers(&format!("00-{TRACE}-{SENDER}-01"))
}

/// Waits until there are so many spans of a name, and answers them by their start.
async fn spans(collector: &Collector, name: &str, count: usize) -> Vec<Span> {
    eventually(&format!("there are {count} spans {name:?}"), async || {
        let mut spans: Vec<_> = collector.spans().into_iter().filter(|span| span.name == name).collect();
        spans.sort_by_key(|span| span.start);
        (spans.len() >= count).then_some(spans)
    })
    .await
}

fn is_child(span: &Span, parent: &Span) -> bool {
    (&span.trace_id, span.parent.as_ref()) == (&parent.trace_id, Some(&parent.span_id))
}

/// Asserts the attributes of a span, and that it has no others.
#[track_caller]
fn assert_attributes(span: &Span, expected: Value) {
    assert_eq!(serde_json::to_value(&span.attributes).unwrap(), expected, "{}", span.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_event_and_its_burial_are_part_of_the_trace_in_which_it_was_sent() {
    let (fleet, collector) = traced().await;
    let offset = fleet.topics.put_with(1, Some(b"poison"), sampled()).await;
    let mut program = fleet.start().await;
    let letters = fleet.topics.dead_letters(1).await;
    assert_eq!(letters[&(1, offset)].header("traceparent"), format!("00-{TRACE}-{SENDER}-01"));

    let process = spans(&collector, "process orders", 1).await.remove(0);
    let send = spans(&collector, "send orders.dlq", 1).await.remove(0);
    let poll = spans(&collector, "poll orders", 1).await.remove(0);
    let step = spans(&collector, "consume", 1).await.remove(0);
    assert_eq!((process.trace_id.as_str(), process.parent.as_deref()), (TRACE, Some(SENDER)));
    assert_eq!((process.kind, process.status), (SpanKind::Consumer, StatusCode::Error));
    assert_attributes(
        &process,
        json!({
            "error.type": "unreadable",
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": "orders",
            "messaging.destination.partition.id": "1",
            "messaging.consumer.group.name": "notifications",
            "messaging.kafka.offset": offset,
            "messaging.kafka.message.key": "the key",
        }),
    );
    assert!(process.is_linked_to(&step) && send.is_linked_to(&step));
    assert!(is_child(&send, &process) && send.end <= process.end, "it is done with when it is buried");
    assert_eq!((send.kind, send.status), (SpanKind::Producer, StatusCode::Unset));
    let partition: i32 = send.attribute("messaging.destination.partition.id").as_str().unwrap().parse().unwrap();
    assert!((0..PARTITIONS).contains(&partition));
    assert_attributes(
        &send,
        json!({
            "messaging.system": "kafka",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": "orders.dlq",
            "messaging.destination.partition.id": partition.to_string(),
            "messaging.kafka.offset": 0,
            "messaging.kafka.message.key": "the key",
        }),
    );
    assert!(is_child(&poll, &step));
    assert_eq!(poll.kind, SpanKind::Client);
    assert_attributes(
        &poll,
        json!({
            "messaging.system": "kafka",
            "messaging.operation.name": "poll",
            "messaging.operation.type": "receive",
            "messaging.destination.name": "orders",
            "messaging.consumer.group.name": "notifications",
            "messaging.batch.message_count": 1,
        }),
    );
    assert_eq!(program.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_to_deliver_is_in_the_trace_of_its_event_and_no_span_shows_the_token() {
    let (fleet, collector) = traced().await;
    fleet.telegram.misbehave(Fault { status: Some(429), retry_after: Some(0), ..Fault::default() });
    fleet.telegram.misbehave(Fault { hang: true, ..Fault::default() });
    let told = event(7, 3, "told");
    fleet.topics.put_with(0, Some(told.to_string().as_bytes()), sampled()).await;
    let mut program = fleet.start().await;
    let process = spans(&collector, "process orders", 1).await.remove(0);
    assert_eq!(process.attribute("messaging.message.id"), &told["EventID"]);
    assert_eq!((process.attribute("order.id"), process.attribute("user.id")), (&json!(3), &json!(7)));

    let attempts = spans(&collector, "deliver message", 3).await;
    let requests = spans(&collector, "POST /bot{api_key}/sendMessage", 3).await;
    let steps = spans(&collector, "deliver", 3).await;
    let message: i64 = sqlx::query_scalar("SELECT id FROM message").fetch_one(&fleet.database.pool).await.unwrap();
    let outcomes = [(Some("rate_limited"), Some("429")), (Some("failed"), Some("timeout")), (None, None)];
    for (number, (outcome, error)) in (1..).zip(outcomes) {
        let (attempt, request, step) = (&attempts[number - 1], &requests[number - 1], &steps[number - 1]);
        assert!(is_child(attempt, &process) && attempt.is_linked_to(step), "{attempt:?}");
        assert!(is_child(request, attempt), "{request:?}");
        assert_eq!((attempt.kind, request.kind), (SpanKind::Internal, SpanKind::Client));
        let status = if outcome.is_some() { StatusCode::Error } else { StatusCode::Unset };
        assert_eq!((attempt.status, request.status), (status, status));
        let mut expected = json!({"message.id": message, "order.id": 3, "delivery.attempt": number});
        if let Some(outcome) = outcome {
            expected["error.type"] = outcome.into();
        }
        assert_attributes(attempt, expected);
        let mut expected = json!({
            "http.request.method": "POST",
            "url.full": format!("http://{}/botREDACTED/sendMessage", fleet.telegram.address()),
            "url.template": "/bot{api_key}/sendMessage",
            "server.address": "127.0.0.1",
            "server.port": fleet.telegram.address().port(),
        });
        if number > 1 {
            expected["http.request.resend_count"] = (number - 1).into();
        }
        if let Some(error) = error {
            expected["error.type"] = error.into();
        }
        if let Some(code) = [Some(429), None, Some(200)][number - 1] {
            expected["http.response.status_code"] = code.into();
        }
        assert_attributes(request, expected);
    }
    let settled = spans(&collector, "settle_deliveries", 3).await;
    assert!(std::iter::zip(&settled, &steps).all(|(settled, step)| is_child(settled, step)), "{settled:?}");
    assert_eq!(program.stop().await, Some(0));
    let everything = format!("{:?}", collector.spans());
    assert!(everything.contains("sendMessage") && !everything.contains(API_KEY.split(':').next_back().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_trace_is_not_kept_stays_out_of_traces_to_the_end() {
    let (fleet, collector) = traced().await;
    let unsampled = headers(&format!("00-{TRACE}-{SENDER}-00"));
    fleet.topics.put_with(0, Some(event(1, 3, "unsampled").to_string().as_bytes()), unsampled).await;
    let mut program = fleet.start().await;
    program.until_metric(r#"notifications_deliveries_total{result="sent"}"#, 1.0).await;
    fleet.topics.publish(&event(1, 4, "sampled")).await;
    program.until_metric(r#"notifications_deliveries_total{result="sent"}"#, 2.0).await;
    assert_eq!(program.stop().await, Some(0));

    let kept: String = sqlx::query_scalar("SELECT traceparent FROM message WHERE text = 'unsampled'")
        .fetch_one(&fleet.database.pool)
        .await
        .unwrap();
    assert!(kept.starts_with(&format!("00-{TRACE}-")) && kept.ends_with("-00"), "{kept}");
    assert_eq!(spans(&collector, "deliver message", 1).await.len(), 1);
    assert_eq!(collector.trace(TRACE), []);
}
