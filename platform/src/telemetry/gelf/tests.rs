//! Messages as a Graylog receives them, and what happens when it does not.
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
    telemetry::lines::Lines,
};

/// How long the last messages may take.
const GRACE: Duration = Duration::from_secs(2);

fn line(number: usize, fields: Value) -> Line {
    let Value::Object(fields) = fields else { unreachable!("fields are an object") };
    let at = DateTime::from_timestamp(1_700_000_000, 250_000_000).unwrap();
    Line { at, level: Level::INFO, message: number.to_string(), fields }
}

fn config(address: std::net::SocketAddr) -> GraylogConfig {
    GraylogConfig { address: HostPort::from_text(&address.to_string()).unwrap() }
}

fn sender(graylog: &Graylog, room: usize) -> (Gelf, Sending) {
    let (gelf, delivery) = Gelf::with_room(&config(graylog.address()), room);
    (gelf, Sending::begin(delivery))
}

fn graylog() -> Graylog {
    Graylog::start(ports::loopback(0)).unwrap()
}

fn send(gelf: &Gelf, numbers: std::ops::Range<usize>) {
    for number in numbers {
        gelf.send(&line(number, json!({ "filling": "x".repeat(1000) })));
    }
}

/// The numbers of the messages that arrived, as they arrived.
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

/// What is said on this thread while the guard lives.
fn listen() -> (Arc<Mutex<Vec<Line>>>, DefaultGuard) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&said);
    let lines = Lines::new("test", move |line: &Line| {
        keep.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
    });
    (said, tracing::subscriber::set_default(tracing_subscriber::registry().with(lines)))
}

async fn until_said(said: &Mutex<Vec<Line>>, part: &str) -> Line {
    eventually(&format!("{part:?} is said"), || async {
        said.lock().unwrap().iter().find(|line| line.message.contains(part)).cloned()
    })
    .await
}

fn levels(said: &Mutex<Vec<Line>>) -> Vec<Level> {
    said.lock().unwrap().iter().map(|line| line.level).collect()
}

#[tokio::test]
async fn a_message_has_what_the_line_says() {
    let graylog = graylog();
    let (gelf, _sending) = sender(&graylog, ROOM);
    gelf.send(&Line {
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
        "_a_name": "b\0c", "_error": "Postgres is unavailable: refused", "_long": "é".repeat(LONGEST_TEXT / 2),
    });
    assert_eq!(message, expected);
}

#[tokio::test]
async fn what_is_said_before_graylog_is_there_arrives_when_it_is() {
    let address = ports::loopback(ports::free().unwrap());
    let (said, _guard) = listen();
    let (gelf, delivery) = Gelf::new(&config(address));
    let _sending = Sending::begin(delivery);
    send(&gelf, 0..10);
    until_said(&said, "takes no log messages").await;
    let graylog = Graylog::start(address).unwrap();
    until_arrived(&graylog, 0..10).await;
}

#[tokio::test]
async fn what_is_said_while_graylog_is_away_arrives_later_and_its_absence_is_told_once() {
    let mut graylog = graylog();
    let (said, _guard) = listen();
    let (gelf, _sending) = sender(&graylog, ROOM);
    send(&gelf, 0..10);
    until_arrived(&graylog, 0..10).await;
    graylog.go_away();
    until_said(&said, "takes no log messages").await;
    send(&gelf, 10..20);
    graylog.come_back().await.unwrap();
    until_arrived(&graylog, 0..20).await;
    let back = until_said(&said, "takes log messages again").await;
    assert_eq!(back.fields["lost"], 0);
    assert_eq!(levels(&said), [Level::WARN, Level::INFO]);
    // None of that is for Graylog, whose absence would be told to it for ever.
    for line in said.lock().unwrap().iter() {
        gelf.send(line);
    }
    send(&gelf, 20..21);
    until_arrived(&graylog, 0..21).await;
}

#[tokio::test]
async fn what_a_stalled_graylog_leaves_no_room_for_is_dropped_and_counted_and_a_new_connection_brings_the_rest() {
    const SENT: usize = 20_000;
    let graylog = graylog();
    graylog.stall();
    let (said, _guard) = listen();
    let (gelf, _sending) = sender(&graylog, 2 * 1024 * 1024);
    let before = GELF_MESSAGES.with(["dropped"]).get();
    let asked = Instant::now();
    send(&gelf, 0..SENT);
    // Nobody who logs waits.
    assert!(asked.elapsed() < Duration::from_secs(5), "took {:?}", asked.elapsed());
    let dropped = gelf.lost.load(Ordering::Relaxed) as usize;
    assert!((SENT / 2..SENT).contains(&dropped), "{dropped}");
    // Others that run now may drop some as well.
    assert!(GELF_MESSAGES.with(["dropped"]).get() - before >= dropped as u64);

    until_said(&said, "takes no log messages").await;
    eventually("there is a third connection", || async { (graylog.connections() >= 3).then_some(()) }).await;
    assert_eq!(
        levels(&said),
        [Level::WARN],
        "the system takes the first messages of each connection, Graylog does not"
    );
    graylog.read_on();
    // What the system had taken comes over the connection that was given up, at the same time as the rest.
    let rest: Vec<_> = (0..SENT - dropped).collect();
    eventually("what found room has arrived", || async {
        let mut arrived = arrived(&graylog);
        arrived.sort_unstable();
        (arrived == rest).then_some(())
    })
    .await;
    assert_eq!(graylog.malformed(), [""; 0]);
    let back = until_said(&said, "takes log messages again").await;
    assert_eq!(back.fields["lost"], dropped);
    assert_eq!(levels(&said), [Level::WARN, Level::INFO]);
}

#[tokio::test]
async fn the_last_messages_arrive_before_the_process_ends() {
    let graylog = graylog();
    let (gelf, sending) = sender(&graylog, ROOM);
    send(&gelf, 0..1000);
    sending.finish(Instant::now() + GRACE).await;
    until_arrived(&graylog, 0..1000).await;
}

#[tokio::test]
async fn a_graylog_that_is_away_or_stalls_does_not_hold_up_the_end() {
    let away = ports::loopback(ports::free().unwrap());
    let stalled = graylog();
    stalled.stall();
    for address in [away, stalled.address()] {
        let (said, _guard) = listen();
        let (gelf, delivery) = Gelf::new(&config(address));
        let sending = Sending::begin(delivery);
        send(&gelf, 0..3000);
        let asked = Instant::now();
        sending.finish(asked + GRACE).await;
        assert!(asked.elapsed() < GRACE + Duration::from_secs(1), "took {:?}", asked.elapsed());
        until_said(&said, "did not take the last log messages").await;
    }
}
