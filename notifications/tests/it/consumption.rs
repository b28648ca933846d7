//! Events become messages, each once.

use rdkafka::message::{Header, OwnedHeaders};
use serde_json::json;

use crate::world::{World, event};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_published_again_is_kept_and_told_once() {
    let world = World::new().await;
    let replica = world.start().await;
    let once = event(1, 3, "once");
    world.topics.publish_all(&[once.clone(), once.clone(), once.clone()]).await;
    world.until_kept(1).await;
    world.topics.until_all_committed().await;
    // Also much later, and elsewhere.
    world.topics.put(1, Some(once.to_string().as_bytes())).await;
    world.topics.publish(&event(1, 3, "last")).await;
    world.topics.until_all_committed().await;
    assert_eq!(world.kept().await, ["once", "last"]);
    assert_eq!(world.until_told(2).await, ["once", "last"]);
    replica.stop().await;
    assert_eq!(world.told(), ["once", "last"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_events_are_read_and_told_apart_by_their_place() {
    let world = World::new().await;
    let replica = world.start().await;
    let foreign = json!({"UserID": 9, "OrderID": 2, "Status": "paid", "Message": "foreign", "Currency": "EUR"});
    let offset = world.topics.put(2, Some(foreign.to_string().as_bytes())).await;
    let again = world.topics.put(2, Some(foreign.to_string().as_bytes())).await;
    world.until_kept(2).await;
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT event_id FROM message ORDER BY id").fetch_all(world.pool()).await.unwrap();
    let topic = &world.topics.orders;
    assert_eq!(ids, [format!("{topic}/2/{offset}"), format!("{topic}/2/{again}")]);
    let messages = replica.client.history(9).await;
    assert_eq!(messages.len(), 2);
    // Dated by the broker: just now.
    let created_at = messages[0].created_at.unwrap().seconds;
    assert!((chrono::Utc::now().timestamp() - created_at).abs() < 60, "{created_at}");
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_an_event_is_kept_for_its_delivery() {
    let world = World::new().await;
    let replica = world.start().await;
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (text, value) in [("traced", traceparent), ("nonsense", "00-xyz")] {
        let headers = OwnedHeaders::new().insert(Header { key: "traceparent", value: Some(value) });
        world.topics.put_with(0, Some(event(1, 3, text).to_string().as_bytes()), headers).await;
    }
    world.until_kept(2).await;
    let kept: Vec<Option<String>> =
        sqlx::query_scalar("SELECT traceparent FROM message ORDER BY id").fetch_all(world.pool()).await.unwrap();
    assert_eq!(kept, [Some(traceparent.to_owned()), None]);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_where_the_last_one_stopped_and_reads_what_came_meanwhile() {
    let world = World::new().await;
    let events: Vec<_> = (0..30).map(|number| event(1, number + 1, &format!("{number:02}"))).collect();
    let replica = world.start().await;
    world.topics.publish_all(&events[..10]).await;
    world.until_kept(10).await;
    replica.stop().await;
    assert_eq!(world.topics.committed().await, world.topics.ends(), "what is kept is committed at the stop");

    world.topics.publish_all(&events[10..20]).await;
    // Had it begun anew, these would come back.
    sqlx::query("DELETE FROM message").execute(world.pool()).await.unwrap();
    let replica = world.start().await;
    world.topics.publish_all(&events[20..]).await;
    let mut kept = world.until_kept(20).await;
    kept.sort();
    assert_eq!(kept, (10..30).map(|number| format!("{number:02}")).collect::<Vec<_>>());
    world.topics.until_all_committed().await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_telegram_messages_are_only_kept() {
    let world = World::new().await;
    let replica = world.start_without_telegram().await;
    world.topics.publish(&event(1, 3, "quiet")).await;
    world.until_kept(1).await;
    assert_eq!(replica.client.history(1).await.len(), 1);
    replica.stop().await;
    // Nor are they told when there is a bot later on: by then they are old news.
    let replica = world.start().await;
    world.topics.publish(&event(1, 3, "loud")).await;
    assert_eq!(world.until_told(1).await, ["loud"]);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_are_created_later_are_waited_for() {
    let world = World::without_topics().await;
    let replica = world.start().await;
    assert!(replica.client.history(1).await.is_empty(), "calls are answered meanwhile");
    world.topics.create().await;
    world.topics.publish(&event(1, 3, "late")).await;
    assert_eq!(world.until_kept(1).await, ["late"]);
    replica.stop().await;
}
