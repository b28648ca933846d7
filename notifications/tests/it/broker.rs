//! The broker comes and goes, and may have forgotten everything.

use stack::broker::Broker;
use stack::testing::eventually;

use crate::{binary::Fleet, topics::Topics, world::event};

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_replaced_by_an_empty_one_is_read_from_its_beginning() {
    let mut fleet = Fleet::new().await;
    fleet.topics.create().await;
    let mut program = fleet.start().await;
    let mut published = 0;
    // More than the one before had, so that its offsets point into the middle; then fewer, so that they point nowhere.
    for count in [5, 20, 4] {
        if published > 0 {
            replace_broker(&mut fleet).await;
        }
        for number in 0..count {
            fleet.topics.publish(&event(1, number % 3 + 1, "new")).await;
        }
        published += count;
        program.until_metric(r#"notifications_events_total{result="stored"}"#, published as f64).await;
    }
    fleet.topics.put(0, Some(b"poison")).await;
    program.until_metric(r#"notifications_events_total{result="dead_lettered"}"#, 1.0).await;
    assert_eq!(fleet.topics.dead_letters(1).await.len(), 1);
    fleet.topics.until_all_committed().await;
    assert_eq!(program.stop().await, Some(0));
}

/// Ends the broker and starts an empty one in its place, with new topics.
async fn replace_broker(fleet: &mut Fleet) {
    let broker = fleet.broker.take().unwrap();
    let port = broker.address().port();
    broker.stop().await;
    let (data, log) = (fleet.directory.path().join("broker"), fleet.directory.path().join("broker.log"));
    std::fs::remove_dir_all(&data).unwrap();
    fleet.broker = Some(Broker::start(port, &data, &log).await.unwrap());
    fleet.topics = Topics::named(&fleet.topics.brokers, "orders", "notifications");
    fleet.topics.create().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_program_is_followed_by_another_that_misses_nothing() {
    let fleet = Fleet::new().await;
    fleet.topics.create().await;
    for count in [5, 10] {
        let mut program = fleet.start().await;
        for number in 0..5 {
            fleet.topics.publish(&event(1, number % 3 + 1, "new")).await;
        }
        eventually("everything is kept", async || (fleet.kept().await == count).then_some(())).await;
        program.process.kill();
    }
}
