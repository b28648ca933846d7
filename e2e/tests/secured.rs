//! The fleet on brokers that speak TLS, ask who it is, and let it do no more than it needs: `make test-kafka` starts them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{collections::HashMap, env, fs, time::Duration};

use e2e::{World, log::until_logged, metrics::Exposition};
use platform::kafka::client;
use proto::{
    cart::{AddToCartRequest, PurchaseRequest},
    event::{ORDERS, ORDERS_DLQ, Topic},
    loms::OrderPayedRequest,
};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{Consumer as _, StreamConsumer},
    message::Message as _,
    producer::{FutureProducer, FutureRecord},
};
use serde_json::json;
use stack::{
    fleet::{Service, Settings},
    testing::eventually,
};

/// A SKU with more units than the test needs.
const PLENTY: u32 = 1212;
const SOON: Duration = Duration::from_secs(30);

/// The section `kafka` of a service, whose password is that of its user.
fn section(certs: &str, user: &str, mechanism: &str) -> serde_json::Value {
    json!({
        "security": {
            "protocol": "sasl_ssl",
            "ca": format!("{certs}/ca.pem"),
            "certificate": format!("{certs}/{user}.pem"),
            "key": format!("{certs}/{user}.key"),
            "mechanism": mechanism,
            "username": user,
            "password": format!("{user}-secret"),
        },
        "properties": { "socket.timeout.ms": "10000" },
    })
}

async fn create(admin: &ClientConfig, topic: Topic) {
    let admin: AdminClient<DefaultClientContext> = admin.create().unwrap();
    let new = NewTopic::new(topic.name, topic.partitions, TopicReplication::Fixed(1));
    admin.create_topics([&new], &AdminOptions::new()).await.unwrap().pop().unwrap().unwrap();
}

/// The first record of the topic of what cannot be read.
async fn dead_letter(admin: &ClientConfig) -> Vec<u8> {
    let consumer: StreamConsumer = admin.clone().set("group.id", "reader of dead letters").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(ORDERS_DLQ.name, 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let letter = tokio::time::timeout(SOON, consumer.recv()).await.expect("a dead letter arrives").unwrap();
    letter.payload().unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache Kafka: make test-kafka"]
async fn a_purchase_is_told_through_brokers_that_let_each_service_do_no_more_than_it_needs() {
    let [everybody, secured, certs] = ["KAFKA", "KAFKA_SECURED", "KAFKA_CERTS"].map(|name| env::var(name).unwrap());
    let admin = client("test", &[everybody]);
    for topic in [ORDERS, ORDERS_DLQ] {
        create(&admin, topic).await;
    }
    let kafka_clients = HashMap::from([
        (Service::Loms, section(&certs, "loms", "SCRAM-SHA-512")),
        (Service::Notifications, section(&certs, "notifications", "PLAIN")),
    ]);
    let change = |settings| Settings { kafka: Some(secured), kafka_clients, ..settings };
    let world = World::start_with(change).await.unwrap();

    let user = world.shopper();
    let mut checkout = world.checkout().unwrap();
    checkout.add_to_cart(AddToCartRequest { user, sku: PLENTY, count: 1 }).await.unwrap();
    let order_id =
        checkout.purchase(PurchaseRequest { user, ..Default::default() }).await.unwrap().into_inner().order_id;
    world.loms().unwrap().order_payed(OrderPayedRequest { order_id }).await.unwrap();
    let messages = eventually("three statuses are in the history", async || {
        Some(world.history(user).await.unwrap()).filter(|messages| messages.len() == 3)
    })
    .await;
    let statuses: Vec<_> = messages.iter().map(|message| message.status.as_str()).collect();
    assert_eq!(statuses, ["new", "awaiting payment", "paid"]);
    // LOMS sees one topic, and goes on without the other.
    until_logged(&world.addresses.loms.log, &["the topic is not seen and cannot be created", ORDERS_DLQ.name]).await;

    let producer: FutureProducer = admin.create().unwrap();
    producer.send(FutureRecord::to(ORDERS.name).key("1").payload("poison"), SOON).await.unwrap();
    assert_eq!(dead_letter(&admin).await, b"poison");

    // The wrong password is told as brokers out of reach are: in the log and in metrics, while calls are answered.
    let wrong = [("kafka.security", "password", "hunter2")];
    for service in [Service::Loms, Service::Notifications] {
        let replica = world.replica(service, &wrong).await.unwrap();
        until_logged(&replica.log, &["warn", "Kafka", "SASL authentication error"]).await;
        assert!(!fs::read_to_string(&replica.log).unwrap().contains("hunter2"));
        if service == Service::Loms {
            eventually("the relay fails", async || {
                let metrics = Exposition::fetch(replica.admin).await.unwrap();
                let failed = metrics.sum(r#"worker_steps_total{outcome="failed",worker="relay"}"#);
                failed.filter(|steps| *steps > 0.0).map(|_| ())
            })
            .await;
        }
        replica.stop().await;
    }
    world.stop().await;
}
