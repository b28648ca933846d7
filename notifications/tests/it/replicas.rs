//! Several replicas at once.

use std::collections::BTreeMap;

use stack::telegram::Fault;
use stack::testing::eventually;

use crate::{
    binary::Fleet,
    world::{World, event},
};

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_work_while_they_come_and_go_and_nothing_is_lost_doubled_or_out_of_order() {
    let world = World::new().await;
    let first = world.start().await;
    let publish = async |from: i64, to: i64| {
        for number in from..to {
            // Every order has its events in a row, with the number in the text.
            world.topics.publish(&event(1, number % 6 + 1, &format!("{number:03}"))).await;
        }
    };
    publish(0, 50).await;
    world.until_kept(10).await;
    let second = world.start().await;
    publish(50, 150).await;
    first.stop().await;
    publish(150, 200).await;
    let third = world.start().await;
    publish(200, 300).await;

    let told = world.until_told(300).await;
    world.until_deliveries("sent", 300).await;
    world.topics.until_all_committed().await;
    second.stop().await;
    third.stop().await;
    assert_eq!(world.kept().await.len(), 300);
    assert_eq!(world.told().len(), 300, "nothing is told twice");
    let mut orders = BTreeMap::<i64, Vec<i64>>::new();
    for text in told {
        let number: i64 = text.parse().unwrap();
        orders.entry(number % 6).or_default().push(number);
    }
    assert_eq!(orders.len(), 6);
    assert!(orders.values().all(|numbers| numbers.len() == 50 && numbers.is_sorted()), "{orders:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_too_many_rests_without_disturbing_the_others_and_takes_over_when_one_dies() {
    const STORED: &str = r#"notifications_events_total{result="stored"}"#;
    const IDLE: &str = r#"worker_steps_total{outcome="idle",worker="consume"}"#;
    let fleet = Fleet::new().await;
    fleet.topics.create().await;
    let mut programs = Vec::new();
    for _ in 0..4 {
        programs.push(fleet.start().await);
    }
    let members = fleet.topics.until_members(4).await;
    // Each step waits for records for five seconds. Somebody without partitions wonders after fifteen.
    let waits = programs.iter().map(async |program| {
        let before = program.metric(IDLE).await.unwrap();
        let steps = async || program.metric(IDLE).await.filter(|steps| *steps >= before + 4.0);
        eventually("it has waited for long", steps).await;
    });
    futures::future::join_all(waits).await;
    assert_eq!(fleet.topics.until_members(4).await, members, "nobody has joined anew");

    let publish = async || {
        for order in 1..=3 {
            fleet.topics.publish(&event(1, order, "new")).await;
        }
    };
    publish().await;
    let stored = eventually("three of them read a partition each", async || {
        let mut stored = Vec::new();
        for program in &programs {
            stored.push(program.metric(STORED).await?);
        }
        (stored.iter().filter(|count| **count == 1.0).count() == 3).then_some(stored)
    })
    .await;
    let busy = stored.iter().position(|count| *count == 1.0).unwrap();
    let rests = stored.iter().position(|count| *count == 0.0).unwrap();
    programs[busy].process.kill();
    publish().await;
    eventually("each partition is read again", async || (fleet.kept().await == 6).then_some(())).await;
    // Each of the three has one by now.
    publish().await;
    programs[rests].until_metric(STORED, 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_deliver_a_backlog_together_once_and_in_order() {
    let world = World::new().await;
    // Slow enough for both of them to be at it at the same time.
    world.telegram.misbehave(Fault { delay_ms: 10, times: Some(200), ..Fault::default() });
    world.keep_due(200, 5).await;
    let (first, second) = tokio::join!(world.start(), world.start());
    world.until_deliveries("sent", 200).await;
    first.stop().await;
    second.stop().await;
    let told = world.told();
    assert_eq!(told.len(), 200);
    let mut orders = BTreeMap::<i64, Vec<i64>>::new();
    for number in told.iter().map(|text| text.parse::<i64>().unwrap()) {
        orders.entry(number % 5).or_default().push(number);
    }
    assert!(orders.values().all(|numbers| numbers.len() == 40 && numbers.is_sorted()), "{orders:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_replica_stays_paused_when_partitions_move_and_reads_everything_when_it_resumes() {
    let world = World::new().await;
    let first = world.start().await;
    world.topics.publish(&event(1, 3, "before")).await;
    assert_eq!(world.until_told(1).await, ["before"]);
    first.pause.toggle();
    let second = world.start().await;
    world.topics.until_members(2).await;
    for order in 1..=6 {
        world.topics.publish(&event(1, order, "meanwhile")).await;
    }
    eventually("the second reads its share", async || (world.kept().await.len() > 1).then_some(())).await;
    // Its partitions go back to the first, which does not read them.
    second.stop().await;
    world.topics.until_members(1).await;
    for order in 1..=6 {
        world.topics.publish(&event(1, order, "at last")).await;
    }
    // All the while the history is answered.
    for _ in 0..100 {
        assert!(!first.client.history(1).await.is_empty());
        assert!(!world.kept().await.contains(&"at last".to_owned()));
    }

    first.pause.toggle();
    world.until_kept(13).await;
    world.topics.until_all_committed().await;
    assert_eq!(world.kept().await.len(), 13);
    first.stop().await;
}
