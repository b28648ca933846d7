//! The local broker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use rdkafka::{
    ClientConfig, Message as _,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{Consumer as _, StreamConsumer},
    producer::{FutureProducer, FutureRecord},
};
use stack::{broker::Broker, ports, process};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn what_is_sent_to_the_broker_is_read_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(ports::free().unwrap(), &directory.path().join("log")).await.unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address().to_string());

    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
    let topic = NewTopic::new("greetings", 3, TopicReplication::Fixed(1));
    admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();

    let producer: FutureProducer = config.clone().set("enable.idempotence", "true").create().unwrap();
    producer.send(FutureRecord::to("greetings").key("1").payload("hello"), SOON).await.unwrap();

    let consumer: StreamConsumer =
        config.set("group.id", "readers").set("auto.offset.reset", "earliest").create().unwrap();
    consumer.subscribe(&["greetings"]).unwrap();
    let message = tokio::time::timeout(SOON, consumer.recv()).await.unwrap().unwrap();
    assert_eq!(message.payload(), Some(&b"hello"[..]));
    drop(message);

    // The consumer leaves its group first. Without a broker, this would take a whole session timeout.
    drop(consumer);
    broker.stop().await;
}

#[tokio::test]
async fn no_topic_appears_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(ports::free().unwrap(), &directory.path().join("log")).await.unwrap();
    let address = broker.address().to_string();
    let topics = tokio::task::spawn_blocking(move || {
        let producer: FutureProducer = ClientConfig::new().set("bootstrap.servers", address).create().unwrap();
        let client = rdkafka::producer::Producer::client(&producer);
        let _ = client.fetch_metadata(Some("orders"), SOON);
        client.fetch_metadata(None, SOON).unwrap().topics().len()
    });
    assert_eq!(topics.await.unwrap(), 0);
}

#[tokio::test]
async fn sigterm_ends_the_broker_at_once_with_clients_connected() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut broker = Broker::start(ports::free().unwrap(), &log).await.unwrap();
    let _client = tokio::net::TcpStream::connect(broker.address()).await.unwrap();

    broker.process().stop(rustix::process::Signal::TERM, Duration::from_secs(2)).await;
    let status = broker.process().exited().unwrap();
    assert_eq!(process::describe(status), "exited with code 0");
}
