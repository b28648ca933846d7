//! Messages reach Telegram, in order, whatever it answers.

use std::time::{Duration, Instant};

use notifications::{
    config::{ChatId, Config},
    domain::pace::Allowance,
};
use serde_json::json;
use stack::testing::eventually;
use stack::{
    ports,
    telegram::{Fault, Telegram},
};

use crate::world::{API_KEY, CHAT, World, event};

fn status(status: u16, times: u32) -> Fault {
    Fault { status: Some(status), times: Some(times), ..Fault::default() }
}

/// Publishes numbered messages of one order.
async fn publish(world: &World, order: i64, texts: &[&str]) {
    for text in texts {
        world.topics.publish(&event(1, order, text)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_to_the_chat_in_order_and_long_ones_are_cut() {
    let world = World::new().await;
    let replica = world.start().await;
    let long = "🛒".repeat(3000);
    publish(&world, 3, &["one", "two", &long]).await;
    assert_eq!(world.until_told(3).await, ["one", "two", &format!("{}…", "🛒".repeat(2047))]);
    assert!(world.telegram.messages().iter().all(|message| message.chat_id == json!(CHAT)));
    assert_eq!(replica.client.history(1).await[2].message, long, "the history has all of it");
    world.until_deliveries("sent", 3).await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_is_told_to_slow_down_does() {
    let world = World::new().await;
    world.telegram.misbehave(Fault { retry_after: Some(2), ..status(429, 1) });
    let replica = world.start().await;
    let asked = Instant::now();
    publish(&world, 3, &["one", "two"]).await;
    publish(&world, 4, &["other order"]).await;
    world.until_kept(3).await;
    // The limit is the bot's: messages of other orders wait as well.
    let mut told = world.until_told(3).await;
    assert!(asked.elapsed() >= Duration::from_secs(2), "{:?}", asked.elapsed());
    told.retain(|text| text != "other order");
    assert_eq!(told, ["one", "two"]);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_telegram_is_tried_again_and_the_order_of_each_order_is_kept() {
    let world = World::new().await;
    world.telegram.misbehave(status(500, 3));
    world.telegram.misbehave(status(502, 2));
    let replica = world.start().await;
    let texts: Vec<_> = (0..6).map(|number| number.to_string()).collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    publish(&world, 3, &texts).await;
    assert_eq!(world.until_told(6).await, texts);
    assert!(world.until_deliveries("sent", 6).await.iter().all(|(_, error)| error.is_none()));
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_refused_for_good_is_dead_with_its_reason_and_the_next_of_its_order_go() {
    let world = World::new().await;
    let description = Some("Bad Request: message text is empty".to_owned());
    world.telegram.misbehave(Fault { description, ..status(400, 1) });
    let replica = world.start().await;
    publish(&world, 3, &["refused", "next", "last"]).await;
    assert_eq!(world.until_told(2).await, ["next", "last"]);
    let dead = world.until_deliveries("dead", 1).await;
    assert_eq!(dead, [("refused".to_owned(), Some("400: Bad Request: message text is empty".to_owned()))]);
    assert_eq!(replica.client.history(1).await.len(), 3);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_than_telegram_says_neither_delivers_a_message_nor_kills_it() {
    let world = World::new().await;
    for code in [200, 302, 403, 407, 408, 413, 421, 502] {
        world.telegram.misbehave(Fault { html: true, ..status(code, 1) });
    }
    // And so does Telegram itself when it takes nothing.
    world.telegram.misbehave(status(200, 1));
    let replica = world.start().await;
    let texts = ["of order 3", "of order 4", "of order 5"];
    for (order, text) in std::iter::zip(3.., texts) {
        publish(&world, order, &[text]).await;
    }
    let mut told = world.until_told(3).await;
    told.sort();
    assert_eq!(told, texts);
    world.until_deliveries("sent", 3).await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_the_bot_may_not_write_to_loses_no_message_and_the_reason_names_its_new_number() {
    let world = World::new().await;
    for (code, description) in [
        (400, "Bad Request: chat not found"),
        (403, "Forbidden: bot was kicked from the group chat"),
        (400, "Bad Request: not enough rights to send text messages to the chat"),
    ] {
        world.telegram.misbehave(Fault { description: Some(description.to_owned()), ..status(code, 1) });
    }
    let description = Some("Bad Request: group chat was upgraded to a supergroup chat".to_owned());
    let migrated = Fault { description, migrate_to_chat_id: Some(-1009999999999), ..status(400, 1000) };
    world.telegram.misbehave(migrated);
    let replica = world.start().await;
    publish(&world, 3, &["kept back"]).await;
    eventually("the new number is told", async || {
        let reasons = world.deliveries("due").await.into_iter().filter_map(|(_, reason)| reason);
        reasons.into_iter().find(|reason| reason.ends_with("telegram.chat_id is to be -1009999999999 from now on"))
    })
    .await;
    replica.stop().await;

    world.telegram.forgive();
    let replica = world.start().await;
    assert_eq!(world.until_told(1).await, ["kept back"]);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_loses_no_message_and_never_shows_in_the_reason() {
    let world = World::new().await;
    let mut config = world.config();
    config.telegram.as_mut().unwrap().api_key = "654321:not-the-bots-token".into();
    let replica = world.start_with(config).await;
    publish(&world, 3, &["kept back"]).await;
    let reason =
        eventually("an attempt failed", async || world.deliveries("due").await.into_iter().find_map(|due| due.1));
    assert_eq!(reason.await, "401: Unauthorized");
    replica.stop().await;

    let replica = world.start().await;
    assert_eq!(world.until_told(1).await, ["kept back"]);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consumption_and_history_go_on_while_telegram_hangs() {
    let world = World::new().await;
    world.telegram.misbehave(Fault { hang: true, times: Some(2), ..Fault::default() });
    let replica = world.start().await;
    publish(&world, 3, &["one", "two"]).await;
    publish(&world, 4, &["other"]).await;
    world.until_kept(3).await;
    assert_eq!(replica.client.history(1).await.len(), 3);
    let mut told = world.until_told(3).await;
    told.retain(|text| text != "other");
    assert_eq!(told, ["one", "two"]);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consumption_goes_on_while_telegram_is_gone_and_everything_is_told_when_it_is_back() {
    let mut world = World::new().await;
    let address = world.telegram.address();
    let replica = world.start().await;
    publish(&world, 3, &["one"]).await;
    world.until_deliveries("sent", 1).await;

    // Another one, on another port, takes its place in the world; the address is dead.
    world.telegram = Telegram::start(ports::loopback(0), None).unwrap();
    publish(&world, 3, &["two", "three"]).await;
    publish(&world, 4, &["other"]).await;
    world.until_kept(4).await;
    let due = eventually("an attempt failed", async || {
        let due = world.deliveries("due").await;
        due.iter().any(|(_, error)| error.is_some()).then_some(due)
    })
    .await;
    assert_eq!(due.len(), 3);
    for (_, error) in &due {
        let error = error.as_deref().unwrap_or_default();
        assert!(!error.contains(API_KEY) && !error.contains("sendMessage"), "{error}");
    }

    world.telegram = Telegram::start(address, Some(API_KEY.into())).unwrap();
    let mut told = world.until_told(3).await;
    told.retain(|text| text != "other");
    assert_eq!(told, ["two", "three"]);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_was_cut_off_is_made_when_its_claim_is_over() {
    let world = World::new().await;
    sqlx::query(
        "WITH kept AS (
            INSERT INTO message (event_id, user_id, order_id, status, text, occurred_at)
            VALUES ('a', 1, 3, 'new', 'cut off', now()), ('b', 1, 3, 'paid', 'next', now())
            RETURNING id, text
        )
        INSERT INTO delivery (message_id, order_id, attempts, next_attempt_at)
        SELECT id, 3, CASE text WHEN 'next' THEN 0 ELSE 1 END,
            now() + CASE text WHEN 'next' THEN interval '0' ELSE interval '1 second' END
        FROM kept",
    )
    .execute(world.pool())
    .await
    .unwrap();
    let replica = world.start().await;
    assert_eq!(world.until_told(2).await, ["cut off", "next"]);
    replica.stop().await;
}

/// A configuration in which the chat may get what Telegram allows a person, and a Telegram that takes no more.
fn bounded(world: &World) -> Config {
    world.telegram.set_bounds();
    let mut config = world.config();
    let telegram = config.telegram.as_mut().unwrap();
    telegram.chat_id = ChatId::Number(7);
    telegram.allowance = Allowance { burst: 3, interval: Duration::from_secs(1) };
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_more_than_a_chat_may_get_are_told_together_in_the_order_of_each_order() {
    let world = World::new().await;
    world.keep_due(1000, 7).await;
    let replica = world.start_with(bounded(&world)).await;
    world.until_deliveries("sent", 1000).await;
    let (requests, told) = (world.told().len(), world.told_one_by_one());
    assert_eq!((told.len(), world.telegram.refused()), (1000, 0));
    assert!(requests < 10, "{requests} requests");
    assert_in_order(&told, 7);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_had_to_wait_for_the_chat_again_and_again_does_not_wait_longer_for_it_when_telegram_fails() {
    let world = World::new().await;
    world.keep_due(1, 1).await;
    // As if it had been put off so often.
    sqlx::query("UPDATE delivery SET attempts = 30").execute(world.pool()).await.unwrap();
    world.telegram.misbehave(status(500, 1));
    let replica = world.start().await;
    assert_eq!(world.until_told(1).await, ["0001"]);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_messages_at_once_are_told_one_by_one() {
    let world = World::new().await;
    let replica = world.start_with(bounded(&world)).await;
    publish(&world, 3, &["one", "two", "three"]).await;
    assert_eq!(world.until_told(3).await, ["one", "two", "three"]);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_what_a_chat_may_get() {
    let world = World::new().await;
    world.keep_due(1000, 7).await;
    let (first, second) = tokio::join!(world.start_with(bounded(&world)), world.start_with(bounded(&world)));
    world.until_deliveries("sent", 1000).await;
    let told = world.told_one_by_one();
    assert_eq!((told.len(), world.telegram.refused()), (1000, 0));
    assert_in_order(&told, 7);
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_refused_among_others_is_found_and_given_up_alone() {
    let world = World::new().await;
    world.keep_due(60, 60).await;
    world.telegram.forbid("0037");
    let mut config = bounded(&world);
    // A bucket that is always empty but for one, so that all are told together.
    config.telegram.as_mut().unwrap().allowance = Allowance { burst: 1, interval: Duration::from_millis(100) };
    world.telegram.lift_bounds();
    let replica = world.start_with(config).await;
    world.until_deliveries("sent", 59).await;
    let dead = world.until_deliveries("dead", 1).await;
    let reason = "400: Bad Request: strings must be encoded in UTF-8".to_owned();
    assert_eq!(dead, [("0037".to_owned(), Some(reason))]);
    assert_eq!(world.told_one_by_one().len(), 59, "nothing is told twice");
    replica.stop().await;
}

/// Asserts that numbered messages, which belong to so many orders in turn, were told in the order of each.
#[track_caller]
fn assert_in_order(told: &[String], orders: usize) {
    let numbers: Vec<usize> = told.iter().map(|text| text.parse().unwrap()).collect();
    for order in 0..orders {
        assert!(numbers.iter().filter(|number| *number % orders == order).is_sorted(), "{numbers:?}");
    }
}
