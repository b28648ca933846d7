//! The local broker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{path::Path, time::Duration};

use rdkafka::{
    ClientConfig, Message as _,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{CommitMode, Consumer as _, StreamConsumer},
    producer::{FutureProducer, FutureRecord},
    types::RDKafkaErrorCode,
};
use stack::{broker::Broker, ports, process};

const SOON: Duration = Duration::from_secs(20);

async fn start(port: u16, directory: &Path) -> anyhow::Result<Broker> {
    Broker::start(port, &directory.join("data"), &directory.join("log")).await
}

fn client(address: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address);
    config
}

async fn create(admin: &AdminClient<DefaultClientContext>, topic: &str, partitions: i32) {
    let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    admin.create_topics([&topic], &AdminOptions::new()).await.unwrap().pop().unwrap().unwrap();
}

#[tokio::test]
async fn what_is_sent_to_the_broker_is_read_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(ports::free().unwrap(), directory.path()).await.unwrap();
    let mut config = client(&broker.address().to_string());
    create(&config.create().unwrap(), "greetings", 3).await;

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

/// Reads so many messages as a member of a group, and commits the offset after the last one.
async fn read(address: &str, topic: &str, count: usize) -> Vec<String> {
    let mut config = client(address);
    config.set("group.id", "readers").set("auto.offset.reset", "earliest");
    let consumer: StreamConsumer = config.set("enable.auto.commit", "false").create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let mut read = Vec::new();
    while read.len() < count {
        let message = tokio::time::timeout(SOON, consumer.recv()).await.unwrap().unwrap();
        read.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap());
        consumer.commit_message(&message, CommitMode::Sync).unwrap();
    }
    read
}

#[tokio::test]
async fn what_was_sent_and_committed_outlives_a_kill_also_in_the_middle_of_a_batch() {
    let directory = tempfile::tempdir().unwrap();
    let port = ports::free().unwrap();
    let mut broker = start(port, directory.path()).await.unwrap();
    let address = broker.address().to_string();
    create(&client(&address).create().unwrap(), "greetings", 1).await;
    let producer: FutureProducer =
        client(&address).set("enable.idempotence", "true").set("linger.ms", "1000").create().unwrap();
    // They wait for one another, and go in one batch.
    let texts: Vec<_> = (0..10).map(|number| number.to_string()).collect();
    let sends = texts.iter().map(|text| producer.send(FutureRecord::to("greetings").key("1").payload(text), SOON));
    for sent in futures::future::join_all(sends).await {
        sent.unwrap();
    }
    assert_eq!(read(&address, "greetings", 5).await, texts[..5]);

    broker.process().kill();
    drop(broker);
    let broker = start(port, directory.path()).await.unwrap();
    assert_eq!(read(&address, "greetings", 5).await, texts[5..]);
    // The same producer goes on.
    producer.send(FutureRecord::to("greetings").key("1").payload("more"), SOON).await.unwrap();
    assert_eq!(read(&address, "greetings", 1).await, ["more"]);
    broker.stop().await;
}

#[tokio::test]
async fn a_topic_that_is_made_anew_is_read_from_its_beginning_by_those_who_read_it_before() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(ports::free().unwrap(), directory.path()).await.unwrap();
    let address = broker.address().to_string();
    let admin: AdminClient<DefaultClientContext> = client(&address).create().unwrap();
    let producer: FutureProducer = client(&address).set("enable.idempotence", "true").create().unwrap();
    let send = async |text: &str| {
        producer.send(FutureRecord::to("greetings").key("1").payload(text), SOON).await.unwrap();
    };
    create(&admin, "greetings", 1).await;
    for text in ["one", "two", "three"] {
        send(text).await;
    }
    let mut config = client(&address);
    config.set("group.id", "readers").set("auto.offset.reset", "earliest");
    let consumer: StreamConsumer = config.set("topic.metadata.refresh.interval.ms", "500").create().unwrap();
    consumer.subscribe(&["greetings"]).unwrap();
    let next = async || loop {
        let message = tokio::time::timeout(SOON, consumer.recv()).await.unwrap();
        // Meanwhile there is no such topic.
        if let Ok(message) = message {
            break String::from_utf8(message.payload().unwrap().to_vec()).unwrap();
        }
    };
    assert_eq!([next().await, next().await, next().await], ["one", "two", "three"]);
    admin.delete_topics(&["greetings"], &AdminOptions::new()).await.unwrap().pop().unwrap().unwrap();
    create(&admin, "greetings", 1).await;
    // More than there were, so that the offset up to which they have read is one of this topic, too.
    let texts: Vec<_> = (0..9).map(|number| number.to_string()).collect();
    for text in &texts {
        send(text).await;
    }
    for text in &texts {
        assert_eq!(next().await, *text);
    }
    drop(consumer);
    broker.stop().await;
}

#[tokio::test]
async fn a_topic_takes_as_much_as_it_was_told_to_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(ports::free().unwrap(), directory.path()).await.unwrap();
    let address = broker.address().to_string();
    let admin: AdminClient<DefaultClientContext> = client(&address).create().unwrap();
    create(&admin, "letters", 1).await;
    let large = NewTopic::new("parcels", 1, TopicReplication::Fixed(1)).set("max.message.bytes", "2000000");
    admin.create_topics([&large], &AdminOptions::new()).await.unwrap().pop().unwrap().unwrap();
    let producer: FutureProducer = client(&address).set("message.max.bytes", "10000000").create().unwrap();
    let send = async |topic: &str, bytes: usize| {
        let payload = "x".repeat(bytes);
        let sent = producer.send(FutureRecord::<str, _>::to(topic).payload(&payload), SOON).await;
        sent.map_err(|(error, _)| error.rdkafka_error_code()).map(|_| ())
    };
    // Kafka's default is 1,048,588 bytes, with everything around the payload.
    assert_eq!(send("letters", 1_048_500).await, Ok(()));
    assert_eq!(send("letters", 1_048_588).await, Err(Some(RDKafkaErrorCode::MessageSizeTooLarge)));
    assert_eq!(send("parcels", 1_999_900).await, Ok(()));
    assert_eq!(send("parcels", 2_000_000).await, Err(Some(RDKafkaErrorCode::MessageSizeTooLarge)));
    broker.stop().await;
}

#[tokio::test]
async fn no_topic_appears_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(ports::free().unwrap(), directory.path()).await.unwrap();
    let address = broker.address().to_string();
    let topics = tokio::task::spawn_blocking(move || {
        let producer: FutureProducer = client(&address).create().unwrap();
        let client = rdkafka::producer::Producer::client(&producer);
        let _ = client.fetch_metadata(Some("orders"), SOON);
        client.fetch_metadata(None, SOON).unwrap().topics().len()
    });
    assert_eq!(topics.await.unwrap(), 0);
}

#[tokio::test]
async fn sigterm_ends_the_broker_at_once_with_clients_connected() {
    let directory = tempfile::tempdir().unwrap();
    let mut broker = start(ports::free().unwrap(), directory.path()).await.unwrap();
    let _client = tokio::net::TcpStream::connect(broker.address()).await.unwrap();

    broker.process().stop(rustix::process::Signal::TERM, Duration::from_secs(2)).await;
    let status = broker.process().exited().unwrap();
    assert_eq!(process::describe(status), "exited with code 0");
}
