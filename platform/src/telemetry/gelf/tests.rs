//! Messages as Graylog receives them, and what happens if Graylog is away or stalls.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::DateTime;
use serde_json::json;
use stack::{graylog::Graylog, ports, testing::eventually};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::{
    config::{FromText as _, HostPort},
    telemetry::lines::LineLayer,
};

const GRACE: Duration = Duration::from_secs(2);

fn line(number: usize, fields: Value) -> Line {
    let Value::Object(fields) = fields else { unreachable!("fields are an object") };
    let at = DateTime::from_timestamp(1_700_000_000, 250_000_000).unwrap();
    Line { at, level: Level::INFO, message: number.to_string(), fields }
}

fn config(address: std::net::SocketAddr) -> GraylogConfig {
    GraylogConfig { address: HostPort::from_text(&address.to_string()).unwrap() }
}

fn start(graylog: &Graylog, bytes: usize) -> (GelfQueue, DeliveryTask) {
    let (queue, delivery) = GelfQueue::with_capacity(&config(graylog.address()), bytes);
    (queue, DeliveryTask::start(delivery))
}

fn graylog() -> Graylog {
    Graylog::start(ports::loopback(0)).unwrap()
}

fn push(queue: &GelfQueue, numbers: std::ops::Range<usize>) {
    for number in numbers {
        queue.push(&line(number, json!({ "filling": "x".repeat(1000) })));
    }
}

/// The numbers of the received messages, in the order of their arrival.
fn arrived(graylog: &Graylog) -> Vec<usize> {
    let messages = graylog.messages();
    messages.iter().map(|message| message["short_message"].as_str().unwrap().parse().unwrap()).collect()
}

async fn until_arrived(graylog: &Graylog, numbers: std::ops::Range<usize>) {
    let expected: Vec<_> = numbers.collect();
    let all = || async { (arrived(graylog) == expected).then_some(()) };
    eventually("the messages have arrived in their order", all).await;
    assert_eq!(graylog.malformed(), [""; 0]);
}

/// Collects the lines of this thread while the guard lives.
fn listen() -> (Arc<Mutex<Vec<Line>>>, DefaultGuard) {
    let logged = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&logged);
    let lines = LineLayer::new("test", move |line: &Line| {
        keep.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
    });
    (logged, tracing::subscriber::set_default(tracing_subscriber::registry().with(lines)))
}

async fn until_logged(logged: &Mutex<Vec<Line>>, part: &str) -> Line {
    eventually(&format!("{part:?} is logged"), || async {
        logged.lock().unwrap().iter().find(|line| line.message.contains(part)).cloned()
    })
    .await
}

fn levels(logged: &Mutex<Vec<Line>>) -> Vec<Level> {
    logged.lock().unwrap().iter().map(|line| line.level).collect()
}

#[tokio::test]
async fn a_message_has_what_the_line_says() {
    let graylog = graylog();
    let (queue, _task) = start(&graylog, QUEUE_BYTES);
    queue.push(&Line {
        level: Level::WARN,
        message: "call failed".into(),
        ..line(
            0,
            json!({
                "target": "platform::grpc", "order.id": 5, "duration_ms": 0.25, "retried": true, "nothing": null,
                "id": 1, "a name": "b\0c", "error": "Postgres is unavailable: refused", "long": "é".repeat(20_000),
            }),
        )
    });
    let one = || async { graylog.messages().pop() };
    let message = eventually("the message has arrived", one).await;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let expected = json!({
        "version": "1.1", "host": host, "short_message": "call failed",
        "full_message": "call failed: Postgres is unavailable: refused", "timestamp": 1_700_000_000.25, "level": 4,
        "_target": "platform::grpc", "_order.id": 5, "_duration_ms": 0.25, "_retried": "true", "_id_": 1,
        "_a_name": "b\0c", "_error": "Postgres is unavailable: refused", "_long": "é".repeat(MAX_TEXT_BYTES / 2),
    });
    assert_eq!(message, expected);
}

#[tokio::test]
async fn what_is_said_before_graylog_is_there_arrives_when_it_is() {
    let address = ports::loopback(ports::free().unwrap());
    let (logged, _guard) = listen();
    let (queue, delivery) = GelfQueue::new(&config(address));
    let _task = DeliveryTask::start(delivery);
    push(&queue, 0..10);
    until_logged(&logged, "takes no log messages").await;
    let graylog = Graylog::start(address).unwrap();
    until_arrived(&graylog, 0..10).await;
}

#[tokio::test]
async fn what_is_said_while_graylog_is_away_arrives_later_and_its_absence_is_told_once() {
    let mut graylog = graylog();
    let (logged, _guard) = listen();
    let (queue, _task) = start(&graylog, QUEUE_BYTES);
    push(&queue, 0..10);
    until_arrived(&graylog, 0..10).await;
    graylog.go_away();
    until_logged(&logged, "takes no log messages").await;
    push(&queue, 10..20);
    graylog.come_back().await.unwrap();
    until_arrived(&graylog, 0..20).await;
    let back = until_logged(&logged, "takes log messages again").await;
    assert_eq!(back.fields["lost"], 0);
    assert_eq!(levels(&logged), [Level::WARN, Level::INFO]);
    // Graylog must not get these two lines.
    for line in logged.lock().unwrap().iter() {
        queue.push(line);
    }
    push(&queue, 20..21);
    until_arrived(&graylog, 0..21).await;
}

#[tokio::test]
async fn what_a_stalled_graylog_leaves_no_room_for_is_dropped_and_counted_and_a_new_connection_brings_the_rest() {
    const SENT: usize = 20_000;
    let graylog = graylog();
    graylog.stall();
    let (logged, _guard) = listen();
    let (queue, _task) = start(&graylog, 2 * 1024 * 1024);
    let before = GELF_MESSAGES.with(["dropped"]).get();
    let asked = Instant::now();
    push(&queue, 0..SENT);
    // Logging does not block.
    assert!(asked.elapsed() < Duration::from_secs(5), "took {:?}", asked.elapsed());
    let dropped = queue.lost.load(Ordering::Relaxed) as usize;
    assert!((SENT / 2..SENT).contains(&dropped), "{dropped}");
    // Concurrent tests may drop messages as well.
    assert!(GELF_MESSAGES.with(["dropped"]).get() - before >= dropped as u64);

    until_logged(&logged, "takes no log messages").await;
    eventually("there is a third connection", || async { (graylog.connections() >= 3).then_some(()) }).await;
    assert_eq!(
        levels(&logged),
        [Level::WARN],
        "the system takes the first messages of each connection, Graylog does not"
    );
    graylog.read_on();
    // The old connection still delivers messages from the buffers of the system, at the same time as the new one.
    let rest: Vec<_> = (0..SENT - dropped).collect();
    eventually("what found room has arrived", || async {
        let mut arrived = arrived(&graylog);
        arrived.sort_unstable();
        (arrived == rest).then_some(())
    })
    .await;
    assert_eq!(graylog.malformed(), [""; 0]);
    let back = until_logged(&logged, "takes log messages again").await;
    assert_eq!(back.fields["lost"], dropped);
    assert_eq!(levels(&logged), [Level::WARN, Level::INFO]);
}

#[tokio::test]
async fn the_last_messages_arrive_before_the_process_ends() {
    let graylog = graylog();
    let (queue, task) = start(&graylog, QUEUE_BYTES);
    push(&queue, 0..1000);
    task.finish(Instant::now() + GRACE).await;
    until_arrived(&graylog, 0..1000).await;
}

#[tokio::test]
async fn a_graylog_that_is_away_or_stalls_does_not_hold_up_the_end() {
    let away = ports::loopback(ports::free().unwrap());
    let stalled = graylog();
    stalled.stall();
    for address in [away, stalled.address()] {
        let (logged, _guard) = listen();
        let (queue, delivery) = GelfQueue::new(&config(address));
        let task = DeliveryTask::start(delivery);
        push(&queue, 0..3000);
        let asked = Instant::now();
        task.finish(asked + GRACE).await;
        assert!(asked.elapsed() < GRACE + Duration::from_secs(1), "took {:?}", asked.elapsed());
        until_logged(&logged, "did not take the last log messages").await;
    }
}
