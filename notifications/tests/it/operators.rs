//! `notifications deliveries` and `notifications dead-letters`: what operators see and do without SQL and without kcat.

use std::collections::BTreeSet;

use rdkafka::message::{Header, OwnedHeaders};
use serde_json::{Value, json};
use stack::{telegram::Fault, testing::eventually};

use crate::{binary::Fleet, world::event};

/// What a command prints.
async fn told(fleet: &Fleet, arguments: &[&str]) -> String {
    let output = fleet.run(arguments).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

async fn json(fleet: &Fleet, arguments: &[&str]) -> Value {
    serde_json::from_str(&told(fleet, &[arguments, &["--json"]].concat()).await).unwrap()
}

/// The exit code and the words of a command that fails.
async fn refusal(fleet: &Fleet, arguments: &[&str]) -> (Option<i32>, String) {
    let output = fleet.run(arguments).await;
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

async fn execute(fleet: &Fleet, statement: &'static str) {
    sqlx::query(statement).execute(&fleet.database.pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_that_were_given_up_are_listed_and_retried_in_the_order_of_each_order() {
    let fleet = Fleet::new().await;
    fleet.topics.create().await;
    let description = Some("Bad Request: can't parse\u{1b}[31m entities".to_owned());
    fleet.telegram.misbehave(Fault { status: Some(400), times: Some(1000), description, ..Fault::default() });
    let mut program = fleet.start().await;
    for (order, text) in [(3, "one"), (3, "two"), (3, "three"), (4, "other")] {
        fleet.topics.publish(&event(7, order, text)).await;
    }
    program.until_metric("notifications_deliveries_dead", 4.0).await;
    fleet.telegram.forgive();
    assert_eq!(told(&fleet, &["deliveries", "list", "--due"]).await, "No delivery is due.\n");
    assert_eq!(told(&fleet, &["deliveries", "list", "--order", "5"]).await, "No delivery of order 5 is due or dead.\n");

    let dead = json(&fleet, &["deliveries", "list", "--dead", "--order", "3"]).await;
    let texts: Vec<_> = dead.as_array().unwrap().iter().map(|delivery| delivery["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["three", "two", "one"]);
    assert_eq!((&dead[0]["state"], &dead[0]["user"]), (&json!("dead"), &json!(7)));
    assert!(dead[0]["attempts"].as_i64().unwrap() > 0, "{dead}");
    let text = told(&fleet, &["deliveries", "list", "--limit", "2"]).await;
    assert!(text.ends_with("There are more; --limit shows them.\n"), "{text}");
    assert!(text.contains("400: Bad Request: can't parse[31m entities") && !text.contains('\u{1b}'), "{text}");

    let nothing = told(&fleet, &["deliveries", "retry", "--order", "5"]).await;
    assert_eq!(nothing, "No delivery of order 5 was given up: there is nothing to retry.\n");
    execute(&fleet, "UPDATE delivery SET settled_at = settled_at - interval '3 hours' WHERE order_id = 4").await;
    let rehearsed = json(&fleet, &["deliveries", "retry", "--dead", "--within", "2h", "--dry-run"]).await;
    assert_eq!((&rehearsed["dry_run"], &rehearsed["count"]), (&json!(true), &json!(3)));
    let text = told(&fleet, &["deliveries", "retry", "--dead", "--dry-run"]).await;
    assert!(text.starts_with("4 deliveries of 2 orders would be due again"), "{text}");
    assert!(fleet.telegram.messages().is_empty());

    let text = told(&fleet, &["deliveries", "retry", "--order", "3"]).await;
    assert!(text.starts_with("3 deliveries of 1 order are due again"), "{text}");
    program.until_metric(r#"notifications_deliveries_total{result="sent"}"#, 3.0).await;
    // Messages may share a request.
    let sent = fleet.telegram.messages().into_iter().map(|message| message.text).collect::<Vec<_>>().join("\n");
    assert_eq!(sent.lines().collect::<Vec<_>>(), ["one", "two", "three"]);
    let left = json(&fleet, &["deliveries", "list"]).await;
    let left: Vec<_> = left.as_array().unwrap().iter().map(|delivery| &delivery["text"]).collect();
    assert_eq!(left, [&json!("other")]);
    assert_eq!(program.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_whose_cause_is_gone_is_replayed_as_it_was_and_kept_once_however_often() {
    let fleet = Fleet::new().await;
    fleet.topics.create().await;
    execute(&fleet, "ALTER TABLE message ADD CONSTRAINT no_curse CHECK (text <> 'curse')").await;
    let mut program = fleet.start().await;
    let mut nameless = event(7, 4, "curse");
    nameless.as_object_mut().unwrap().remove("EventID");
    let headers = || OwnedHeaders::new().insert(Header { key: "color", value: Some("red") });
    for (partition, body) in [(0, event(7, 3, "curse")), (1, nameless)] {
        fleet.topics.put_with(partition, Some(body.to_string().as_bytes()), headers()).await;
    }
    fleet.topics.put(2, Some(b"\xff\x00 no event")).await;
    program.until_metric(r#"notifications_events_total{result="dead_lettered"}"#, 3.0).await;

    let letters = json(&fleet, &["dead-letters", "list"]).await;
    assert_eq!(letters.as_array().unwrap().len(), 3, "{letters}");
    let cursed = json(&fleet, &["dead-letters", "list", "--error", "no_curse"]).await;
    assert_eq!(cursed.as_array().unwrap().len(), 2, "{cursed}");
    assert_eq!(cursed[0]["origin"]["topic"], "orders");
    assert_eq!(cursed[0]["key"], "the key");
    let text = told(&fleet, &["dead-letters", "list", "--error", "UTF-8"]).await;
    assert!(text.contains("orders/2/0") && text.contains("the key") && text.lines().count() == 2, "{text}");

    execute(&fleet, "ALTER TABLE message DROP CONSTRAINT no_curse").await;
    let rehearsed = told(&fleet, &["dead-letters", "replay", "--error", "no_curse", "--dry-run"]).await;
    assert!(rehearsed.contains("2 letters would be in orders again."), "{rehearsed}");
    for round in 1..=2 {
        let replayed = told(&fleet, &["dead-letters", "replay", "--error", "no_curse"]).await;
        assert!(replayed.contains("2 letters are in orders again."), "{replayed}");
        let read = f64::from(2 * (round - 1));
        program.until_metric(r#"notifications_events_total{result="stored"}"#, 2.0).await;
        program.until_metric(r#"notifications_events_total{result="duplicate"}"#, read).await;
        assert_eq!(fleet.kept().await, 2);
    }
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT event_id FROM message").fetch_all(&fleet.database.pool).await.unwrap();
    assert!(ids.contains(&"orders/1/0".to_owned()), "it has the identity of its first place: {ids:?}");

    // What cannot be read yet becomes a letter again, which says where it was first.
    let first = json(&fleet, &["dead-letters", "list", "--error", "UTF-8"]).await;
    let place = format!("{}/{}", first[0]["partition"], first[0]["offset"]);
    told(&fleet, &["dead-letters", "replay", &place]).await;
    program.until_metric(r#"notifications_events_total{result="dead_lettered"}"#, 4.0).await;
    let again = json(&fleet, &["dead-letters", "list", "--error", "UTF-8"]).await;
    assert_eq!(again.as_array().unwrap().len(), 2);
    let again = format!("{}/{}", again[0]["partition"], again[0]["offset"]);
    let shown = json(&fleet, &["dead-letters", "show", &again]).await;
    let headers: Vec<_> = shown["headers"].as_array().unwrap().iter().map(|header| &header["name"]).collect();
    assert_eq!(headers, ["replayed-from", "error", "topic", "partition", "offset"]);
    assert_eq!(shown["headers"][0]["value"], "orders/2/0");
    assert_eq!(program.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_shown_with_its_headers_and_its_body_as_text_or_as_bytes() {
    let fleet = Fleet::new().await;
    fleet.topics.create().await;
    let mut program = fleet.start().await;
    let headers = OwnedHeaders::new().insert(Header { key: "color", value: Some(&b"\xff\x1b[2J"[..]) });
    fleet.topics.put_with(0, Some(b"{\"UserId\": 1}"), headers).await;
    program.until_metric(r#"notifications_events_total{result="dead_lettered"}"#, 1.0).await;
    fleet.topics.put(0, Some(b"\xff\x00")).await;
    program.until_metric(r#"notifications_events_total{result="dead_lettered"}"#, 2.0).await;
    assert_eq!(program.stop().await, Some(0));

    let letters = json(&fleet, &["dead-letters", "list"]).await;
    let place = |letter: &Value| [&letter["partition"], &letter["offset"]].map(ToString::to_string);
    let ([newer, _], [partition, offset]) = (place(&letters[0]), place(&letters[1]));
    let text = told(&fleet, &["dead-letters", "show", &partition, &offset]).await;
    for line in
        ["from     orders/0/0", "key      the key", "size     13 bytes", r"  color: \xff\x1b[2J", "{\"UserId\": 1}"]
    {
        assert!(text.lines().any(|told| told == line), "{line:?} is not in\n{text}");
    }
    let bytes = json(&fleet, &["dead-letters", "show", &format!("{newer}/{}", letters[0]["offset"])]).await;
    assert_eq!((&bytes["body"], &bytes["body_base64"]), (&Value::Null, &json!("/wA=")));
    assert_eq!(bytes["size_bytes"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_and_nothing_is_replayed() {
    let mut fleet = Fleet::new().await;
    let missing = told(&fleet, &["dead-letters", "list"]).await;
    assert_eq!(missing, "The topic orders.dlq does not exist: nothing became a dead letter.\n");
    fleet.topics.create().await;
    assert_eq!(told(&fleet, &["dead-letters", "list"]).await, "There are no dead letters in orders.dlq.\n");
    assert_eq!(json(&fleet, &["dead-letters", "list"]).await, json!([]));
    let none = told(&fleet, &["dead-letters", "replay", "--error", "curse"]).await;
    assert_eq!(none, "No letter in orders.dlq has \"curse\" in its error.\n");

    for (arguments, code, fault) in [
        (&["dead-letters", "show", "9/0"][..], 1, "orders.dlq has no partition 9, only partitions 0 to 2"),
        (&["dead-letters", "show", "0", "5"], 1, "orders.dlq has nothing at 0/5: partition 0 is empty"),
        (&["dead-letters", "replay", "0/5"], 1, "orders.dlq has nothing at 0/5: partition 0 is empty"),
        (&["dead-letters", "show", "0/-1"], 64, "`-1` is no offset: say PARTITION/OFFSET, such as 0/17"),
        (&["dead-letters", "show", "0"], 64, "`0` names no letter: say PARTITION/OFFSET, such as 0/17"),
        (&["dead-letters", "replay"], 64, "required"),
        (&["deliveries", "retry"], 64, "required"),
        (&["deliveries", "retry", "--order", "0"], 64, "must be above 0, is 0"),
    ] {
        let (found, told) = refusal(&fleet, arguments).await;
        assert!(found == Some(code) && told.contains(fault), "{arguments:?}: {found:?}, {told}");
    }

    drop(fleet.broker.take());
    eventually("a broker that is away is told", async || {
        let (code, told) = refusal(&fleet, &["dead-letters", "list"]).await;
        (code == Some(1) && told.starts_with("notifications: Kafka is unavailable")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_cannot_go_back_says_why() {
    let fleet = Fleet::new().await;
    fleet.topics.create().await;
    let letter = |topic: &str, more: &[(&str, &str)]| {
        let headers = [("error", "x"), ("topic", topic), ("partition", "0"), ("offset", "7")];
        let all = headers.iter().chain(more);
        all.fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(*value) }))
    };
    fleet.topics.put_dead_letter(None, letter("orders", &[("size", "1048500"), ("sha256", "00")])).await;
    fleet.topics.put_dead_letter(Some(b"body"), letter("elsewhere", &[])).await;
    fleet.topics.put_dead_letter(Some(b"body"), OwnedHeaders::new()).await;

    let told = fleet.run(&["dead-letters", "replay", "--all", "--json"]).await;
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    // Letters have an order in their partition only.
    let faults: BTreeSet<_> = told.as_array().unwrap().iter().map(|letter| letter["fault"].as_str().unwrap()).collect();
    let expected = [
        "it was too large for a letter: what it holds is only at orders/0/7",
        "it came from elsewhere/0/7, a topic that is not read here",
        "nobody says where it came from",
    ];
    assert_eq!(faults, expected.into());
    assert!(told.as_array().unwrap().iter().all(|letter| letter["replayed_to"].is_null()), "{told}");
}
