//! What cannot be read goes to the topic of dead letters, is never lost, and never in the way.

use rdkafka::message::{Header, OwnedHeaders};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use stack::testing::eventually;

use crate::{
    topics::PARTITIONS,
    world::{World, event},
};

/// Why an event is unreadable, and the event.
fn poison() -> Vec<(&'static str, Option<Vec<u8>>)> {
    let with = |name: &str, value: serde_json::Value| {
        let mut event = event(1, 3, "poison");
        event[name] = value;
        Some(event.to_string().into_bytes())
    };
    let without = |name: &str| {
        let mut event = event(1, 3, "poison");
        event.as_object_mut().unwrap().remove(name);
        Some(event.to_string().into_bytes())
    };
    vec![
        ("there is no payload", None),
        ("is not JSON", Some(Vec::new())),
        ("is not JSON", Some(b"{\"UserId\": 1,".to_vec())),
        ("is not UTF-8", Some(b"{\"UserId\": \"\xc3\x28\"}".to_vec())),
        ("is JSON, but no object", Some(b"[1, 2]".to_vec())),
        ("UserId is missing", without("UserId")),
        ("OrderID is missing", without("OrderID")),
        ("Status is missing", without("Status")),
        ("Message is missing", without("Message")),
        ("UserId must be above 0, is 0", with("UserId", json!(0))),
        ("OrderID must be above 0, is -1", with("OrderID", json!(-1))),
        ("OrderID must be a whole number", with("OrderID", json!("3"))),
        ("Status must not be empty", with("Status", json!(""))),
        ("Message must not contain the NUL character", with("Message", json!("a\0b"))),
        ("Message must be at most 65536 bytes, is 65537", with("Message", json!("x".repeat(65_537)))),
        ("UserId and UserID differ", with("UserID", json!(2))),
        ("OccurredAt must be a moment", with("OccurredAt", json!("yesterday"))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_of_every_kind_becomes_a_dead_letter_and_is_in_nobodys_way() {
    let world = World::new().await;
    let replica = world.start().await;
    let mut buried = Vec::new();
    for (number, (reason, payload)) in poison().into_iter().enumerate() {
        let partition = i32::try_from(number).unwrap() % PARTITIONS;
        let headers = OwnedHeaders::new()
            .insert(Header { key: "color", value: Some("red") })
            .insert(Header { key: "empty", value: None::<&str> });
        let offset = world.topics.put_with(partition, payload.as_deref(), headers).await;
        world.topics.put(partition, Some(event(1, 3, &number.to_string()).to_string().as_bytes())).await;
        buried.push((partition, offset, reason, payload));
    }
    world.until_kept(buried.len()).await;
    let letters = world.topics.dead_letters(buried.len()).await;
    assert_eq!(letters.len(), buried.len());
    for (partition, offset, reason, payload) in buried {
        let letter = &letters[&(partition, offset)];
        assert!(letter.header("error").starts_with(reason), "{reason}: {}", letter.header("error"));
        assert_eq!(letter.header("topic"), world.topics.orders);
        assert_eq!(letter.header("color"), "red");
        assert!(letter.headers.contains_key("empty"));
        assert_eq!(letter.key.as_deref(), Some(&b"the key"[..]));
        assert_eq!(letter.payload, payload, "{reason}");
    }
    world.topics.until_all_committed().await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_database_refuses_is_buried_and_holds_back_no_other() {
    let world = World::new().await;
    let refusal = "ALTER TABLE message ADD CONSTRAINT no_curse CHECK (text <> 'curse')";
    sqlx::query(refusal).execute(world.pool()).await.unwrap();
    let put = async |text: &str| world.topics.put(0, Some(event(1, 3, text).to_string().as_bytes())).await;
    put("before").await;
    let offset = put("curse").await;
    put("behind").await;
    let replica = world.start().await;
    assert_eq!(world.until_kept(2).await, ["before", "behind"]);
    let letters = world.topics.dead_letters(1).await;
    let error = letters[&(0, offset)].header("error");
    assert!(error.contains("no_curse"), "{error}");
    world.topics.until_all_committed().await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_with_the_id_of_another_is_buried_and_told_and_the_same_again_is_a_duplicate() {
    let world = World::new().await;
    let first = event(1, 3, "first");
    let mut other = event(1, 4, "another order");
    other["EventID"] = first["EventID"].clone();
    let put = async |event: &serde_json::Value| world.topics.put(0, Some(event.to_string().as_bytes())).await;
    put(&first).await;
    let offset = put(&other).await;
    put(&first).await;
    put(&event(1, 5, "behind")).await;
    let replica = world.start().await;
    assert_eq!(world.until_kept(2).await, ["first", "behind"]);
    let letters = world.topics.dead_letters(1).await;
    let error = letters[&(0, offset)].header("error");
    assert!(error.ends_with("is that of an event which says something else"), "{error}");
    world.topics.until_all_committed().await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enormous_event_is_buried_whole() {
    let world = World::new().await;
    let replica = world.start().await;
    // As much as a broker takes unless it is told otherwise, 1,048,588 bytes with everything around the payload.
    let enormous = event(1, 3, &"x".repeat(1_048_000)).to_string();
    let offset = world.topics.put(0, Some(enormous.as_bytes())).await;
    world.topics.put(0, Some(event(1, 3, "next").to_string().as_bytes())).await;
    assert_eq!(world.until_kept(1).await, ["next"]);
    let letters = world.topics.dead_letters(1).await;
    let letter = &letters[&(0, offset)];
    assert_eq!(letter.payload.as_deref(), Some(enormous.as_bytes()));
    assert_eq!(letter.header("error"), "Message must be at most 65536 bytes, is 1048000");

    let compressible = event(1, 3, &"x".repeat(10_000_000)).to_string();
    let offset = world.topics.put_compressed(1, compressible.as_bytes()).await;
    let letters = world.topics.dead_letters(2).await;
    assert_eq!(letters[&(1, offset)].payload.as_deref(), Some(compressible.as_bytes()));
    world.topics.until_all_committed().await;
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_too_large_for_its_topic_is_written_without_its_body_and_holds_up_nothing() {
    let world = World::without_topics().await;
    world.topics.create_orders().await;
    world.topics.create_small_dead_letters().await;
    let replica = world.start().await;
    // As much as the topic of orders takes, which does not get shorter when it is compressed: no room for more headers.
    let random = (0..70_000).flat_map(|_| uuid::Uuid::new_v4().into_bytes());
    let random: String = random.map(|byte| char::from(b'#' + byte % 57)).collect();
    let mut enormous = event(1, 3, "");
    enormous["Message"] = json!(random[..1_048_500 - enormous.to_string().len()]);
    let enormous = enormous.to_string();
    let put = async |payload: &str| world.topics.put(0, Some(payload.as_bytes())).await;
    let offset = put(&enormous).await;
    let small = put("small poison").await;
    put(&event(1, 3, "next").to_string()).await;

    assert_eq!(world.until_kept(1).await, ["next"]);
    world.topics.until_all_committed().await;
    let letters = world.topics.dead_letters(2).await;
    let letter = &letters[&(0, offset)];
    assert!(letter.payload.is_none());
    assert_eq!(letter.key.as_deref(), Some(&b"the key"[..]));
    assert!(letter.header("error").starts_with("Message must be at most 65536 bytes"));
    assert_eq!((letter.header("topic"), letter.header("size")), (world.topics.orders.as_str(), "1048500"));
    assert_eq!(letter.header("sha256"), format!("{:x}", Sha256::digest(&enormous)));
    assert_eq!(letters[&(0, small)].payload.as_deref(), Some(&b"small poison"[..]));
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_text_is_kept_whole() {
    let world = World::new().await;
    let replica = world.start().await;
    let longest = "ß".repeat(32 * 1024);
    world.topics.publish(&event(1, 3, &longest)).await;
    assert_eq!(world.until_kept(1).await, std::slice::from_ref(&longest));
    assert_eq!(replica.client.history(1).await[0].message, longest);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_that_cannot_be_buried_holds_back_its_partition_alone_until_it_can() {
    let world = World::without_topics().await;
    world.topics.create_orders().await;
    let replica = world.start().await;
    let first = world.topics.put(0, Some(b"poison")).await;
    let second = world.topics.put(0, Some(b"more poison")).await;
    eventually("others go on", async || {
        world.topics.put(1, Some(event(1, 1, "other").to_string().as_bytes())).await;
        (world.kept().await.len() > 30).then_some(())
    })
    .await;
    let committed = eventually("what they read is done with", async || {
        let committed = world.topics.committed().await;
        (committed[1] > 0).then_some(committed)
    })
    .await;
    assert_eq!(committed[0], 0, "nothing behind the poison is done with");

    world.topics.create_dead_letters().await;
    let letters = world.topics.dead_letters(2).await;
    assert_eq!(letters.keys().copied().collect::<Vec<_>>(), [(0, first), (0, second)]);
    world.topics.put(0, Some(event(1, 3, "behind").to_string().as_bytes())).await;
    world.topics.until_all_committed().await;
    assert!(world.kept().await.contains(&"behind".to_owned()));
    replica.stop().await;
}
