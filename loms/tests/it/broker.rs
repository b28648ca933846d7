//! LOMS without its broker: calls are answered, events wait, and nothing is lost.

use std::time::Duration;

use loms::kafka::Publisher;
use platform::failure::chain;
use platform::kafka::{Quiet, client};
use proto::event::{ORDERS, ORDERS_DLQ};
use proto::loms::OrderPayedRequest;
use rdkafka::{
    admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication},
    consumer::{BaseConsumer, Consumer as _},
};
use stack::testing::eventually;
use stack::{
    broker::Broker,
    kafka::{Faults, Kafka},
    ports,
};

use crate::{
    operations::probe,
    topic::{Reader, published, statuses},
    world::{Running, World, cluster, create, order, user},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_down_delays_events_and_nothing_else() {
    let world = World::with_stock(&[(1, 7, 10)]).await;
    let port = ports::free().unwrap();
    let brokers = [ports::loopback(port).to_string()];
    let loms = Running::start(world.config_for(&brokers)).await;
    let (client, user) = (loms.client(), user());
    eventually("it is ready without a broker", async || (probe(&loms, "readyz").await.0 == 200).then_some(())).await;
    let first = create(&client, order(user, &[(7, 1)])).await.unwrap();
    client.clone().order_payed(OrderPayedRequest { order_id: first }).await.unwrap();
    assert_eq!(world.number("SELECT count(*) FROM outbox").await, 3);

    let logs = tempfile::tempdir().unwrap();
    let broker = Broker::start(port, &logs.path().join("first"), &logs.path().join("broker.log")).await.unwrap();
    let records = published(&world, &brokers, &[user], 3).await;
    assert_eq!(statuses(&records, first), ["new", "awaiting payment", "paid"]);

    // The one that takes its place knows neither topics nor producers.
    broker.stop().await;
    let second = create(&client, order(user, &[(7, 1)])).await.unwrap();
    let broker = Broker::start(port, &logs.path().join("second"), &logs.path().join("replaced.log")).await.unwrap();
    let records = published(&world, &brokers, &[user], 2).await;
    assert_eq!(statuses(&records, second), ["new", "awaiting payment"]);
    loms.stop().await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_topics_are_created_at_the_start() {
    let world = World::with_stock(&[]).await;
    let brokers = stack::testing::brokers();
    let _loms = world.loms().await;
    eventually("both topics exist", async || {
        let consumer: BaseConsumer<Quiet> = client("test", &brokers).create_with_context(Quiet::default()).unwrap();
        let metadata = tokio::task::spawn_blocking(move || consumer.fetch_metadata(None, Duration::from_secs(5)))
            .await
            .unwrap()
            .unwrap();
        let partitions = |name: &str| {
            metadata.topics().iter().find(|topic| topic.name() == name).map(|topic| topic.partitions().len())
        };
        (partitions(ORDERS.name) == Some(3) && partitions(ORDERS_DLQ.name) == Some(1)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_exists_is_written_to_where_none_may_be_created() {
    let world = World::with_stock(&[(1, 7, 10)]).await;
    let directory = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(directory.path()).await.unwrap();
    kafka.misbehave(Faults { creates_no_topics: true, ..Faults::default() });
    let brokers = [kafka.address().to_string()];
    let failure = Publisher::new(cluster(&brokers)).unwrap().prepare().await.unwrap_err();
    let told = chain(&failure);
    assert!(told.contains("the topic orders is missing and cannot be created: TopicAuthorizationFailed"), "{told}");

    // The topic for what cannot be read is the business of whoever reads.
    kafka.misbehave(Faults::default());
    let admin: AdminClient<Quiet> = client("test", &brokers).create_with_context(Quiet::default()).unwrap();
    let topic = NewTopic::new(ORDERS.name, ORDERS.partitions, TopicReplication::Fixed(1));
    admin.create_topics([&topic], &AdminOptions::new()).await.unwrap().pop().unwrap().unwrap();
    kafka.misbehave(Faults { creates_no_topics: true, ..Faults::default() });
    let loms = Running::start(world.config_for(&brokers)).await;
    let user = user();
    let id = create(&loms.client(), order(user, &[(7, 1)])).await.unwrap();
    let records = published(&world, &brokers, &[user], 2).await;
    assert_eq!(statuses(&records, id), ["new", "awaiting payment"]);
    loms.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_a_leader_holds_up_its_own_events_alone_and_gets_them_later_in_order() {
    let world = World::with_stock(&[(1, 7, 1000)]).await;
    let directory = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(directory.path()).await.unwrap();
    let brokers = [kafka.address().to_string()];
    let mut publisher = Publisher::new(cluster(&brokers)).unwrap();
    publisher.prepare().await.unwrap();
    let loms = Running::start(world.config_for(&brokers)).await;
    let (client, user) = (loms.client(), user());
    let mut ids = vec![create(&client, order(user, &[(7, 1)])).await.unwrap()];
    published(&world, &brokers, &[user], 2).await;

    kafka.misbehave(Faults { leaderless: [(ORDERS.name.to_owned(), [0].into())].into(), ..Faults::default() });
    let reader = Reader::of(&brokers, 1..ORDERS.partitions);
    let buying = async {
        for _ in 0..60 {
            let id = create(&client, order(user, &[(7, 1)])).await.unwrap();
            ids.push(id);
            // Each waits for the one before. If they all waited for the partition, it would take minutes.
            if publisher.partition(id.try_into().unwrap()) > 0 {
                reader.until_read(id, "awaiting payment").await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), buying).await.expect("nobody waits for the partition");
    let waiting = ids.iter().filter(|id| publisher.partition((**id).try_into().unwrap()) == 0).count();
    assert!(waiting > 5, "{ids:?}");

    kafka.misbehave(Faults::default());
    let records = published(&world, &brokers, &[user], 2 * ids.len()).await;
    assert_eq!(records.len(), 2 * ids.len());
    for id in ids {
        assert_eq!(statuses(&records, id), ["new", "awaiting payment"], "order {id}");
    }
    loms.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_fits_into_its_topic_with_its_headers() {
    let brokers = stack::testing::brokers();
    let settings = client("test", &brokers);
    for again in ["topics are created", "topics that exist are no fault"] {
        Publisher::new(cluster(&brokers)).unwrap().prepare().await.expect(again);
    }
    let admin: AdminClient<Quiet> = settings.create_with_context(Quiet::default()).unwrap();
    let topics = [ResourceSpecifier::Topic(ORDERS.name), ResourceSpecifier::Topic(ORDERS_DLQ.name)];
    let answer = admin.describe_configs(&topics, &AdminOptions::new()).await.unwrap();
    let limit = |resource: &ConfigResource| {
        resource
            .get("max.message.bytes")
            .and_then(|entry| entry.value.clone())
            .map_or(1_048_588, |text| text.parse().unwrap())
    };
    let limits: Vec<usize> = answer.into_iter().map(|resource| limit(&resource.unwrap())).collect();
    assert!(limits[1] > limits[0], "{limits:?}");
}
