//! Graylog gets the log, and whether it does is nothing that a caller notices.

use std::{
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures::future::join_all;
use proto::cart::ListCartRequest;
use rustix::process::Signal;
use serde_json::Value;
use stack::testing::eventually;
use stack::{graylog::Graylog, ports};

use crate::{
    binary::Binary,
    world::{World, assert_within, connect},
};

/// A checkout that logs to a Graylog at this address.
async fn start(world: &World, graylog: SocketAddr, level: &str) -> Binary {
    let sections = format!("graylog: {{address: '{graylog}'}}\nlog: {{level: {level}}}\ntoken:");
    Binary::start(world, ("token:", &sections)).await
}

/// Lists an empty cart; answers the trace of the call.
async fn list(world: &World, binary: &Binary) -> String {
    let ca = fs::read_to_string(world.cert("ca.pem")).unwrap();
    let answer = connect(binary.address, &ca).list_cart(ListCartRequest { user: 1 }).await.unwrap();
    answer.metadata().get("x-trace-id").unwrap().to_str().unwrap().to_owned()
}

/// The message of a trace, when it has arrived.
async fn arrived(graylog: &Graylog, trace: &str) -> Value {
    let find = || async { graylog.messages().into_iter().find(|message| message["_trace_id"] == trace) };
    let message = eventually("the call's line is in Graylog", find).await;
    assert_eq!(graylog.malformed(), [""; 0]);
    message
}

/// How many messages were `sent` or `dropped`.
async fn counted(binary: &Binary, result: &str) -> u64 {
    let metrics = reqwest::get(format!("http://{}/metrics", binary.admin)).await.unwrap().text().await.unwrap();
    let name = format!("gelf_messages_total{{result=\"{result}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_in_graylog_under_its_trace_id_with_what_the_log_says_of_it() {
    let world = World::new().await;
    let graylog = Graylog::start(ports::loopback(0)).unwrap();
    let mut binary = start(&world, graylog.address(), "info").await;
    let trace = list(&world, &binary).await;
    let message = arrived(&graylog, &trace).await;
    assert_eq!((&message["short_message"], &message["level"]), (&"call answered".into(), &6.into()));

    // The last line of the process arrives as well.
    binary.process.signal(Signal::TERM);
    assert_eq!(binary.ended().await.code(), Some(0));
    let log = fs::read_to_string(&binary.log).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    eventually("Graylog has every line", || async { (graylog.messages().len() == lines.len()).then_some(()) }).await;
    for (line, message) in lines.iter().zip(graylog.messages()) {
        assert_eq!(message["short_message"], line["message"]);
        for (name, value) in line.as_object().unwrap() {
            if !["ts", "level", "message"].contains(&name.as_str()) {
                assert_eq!(message[format!("_{name}")], *value, "{name}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graylog_that_is_not_there_yet_holds_up_nothing_and_gets_the_log_when_it_is() {
    let world = World::new().await;
    let address = ports::loopback(ports::free().unwrap());
    let binary = start(&world, address, "info").await;
    let trace = list(&world, &binary).await;
    let said = || fs::read_to_string(&binary.log).unwrap().matches("takes no log messages").count();
    eventually("its absence is in the log", || async { (said() > 0).then_some(()) }).await;

    let graylog = Graylog::start(address).unwrap();
    arrived(&graylog, &trace).await;
    let trace = list(&world, &binary).await;
    arrived(&graylog, &trace).await;
    assert_eq!(said(), 1);
    assert_eq!(counted(&binary, "dropped").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graylog_that_reads_nothing_holds_up_no_call_and_no_stop_and_what_it_misses_is_counted() {
    let world = World::new().await;
    let graylog = Graylog::start(ports::loopback(0)).unwrap();
    graylog.stall();
    let mut binary = start(&world, graylog.address(), "debug").await;
    assert_eq!(counted(&binary, "dropped").await, 0);
    let client = binary.client();
    let flood = async {
        loop {
            let begin = Instant::now();
            let answers = join_all((1..=32).map(|user| client.add(user, 1001, 1))).await;
            assert!(answers.iter().all(Result::is_ok), "{answers:?}");
            assert_within(Duration::from_secs(5), begin);
            if counted(&binary, "dropped").await > 0 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), flood).await.expect("messages are dropped in the end");
    client.list(1).await.unwrap();

    binary.process.signal(Signal::TERM);
    let asked = Instant::now();
    assert_eq!(binary.ended().await.code(), Some(0));
    assert_within(Duration::from_secs(5), asked);
}
