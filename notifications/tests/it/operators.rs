//! `notifications deliveries`: what operators see and do without SQL.

use serde_json::{Value, json};
use stack::telegram::Fault;

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

async fn execute(fleet: &Fleet, statement: &'static str) {
    sqlx::query(statement).execute(&fleet.database.pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_that_were_given_up_are_listed_and_retried_in_the_order_of_each_order() {
    let fleet = Fleet::new().await;
    fleet.topics.create().await;
    let description = Some("Bad Request: can't parse\u{1b}[31m entities".to_owned());
    fleet.telegram.misbehave(Fault { status: Some(400), times: Some(4), description, ..Fault::default() });
    let mut program = fleet.start().await;
    for (order, text) in [(3, "one"), (3, "two"), (3, "three"), (4, "other")] {
        fleet.topics.publish(&event(7, order, text)).await;
    }
    program.until_metric("notifications_deliveries_dead", 4.0).await;
    assert_eq!(told(&fleet, &["deliveries", "list", "--due"]).await, "No delivery is due.\n");
    assert_eq!(told(&fleet, &["deliveries", "list", "--order", "5"]).await, "No delivery of order 5 is due or dead.\n");

    let dead = json(&fleet, &["deliveries", "list", "--dead", "--order", "3"]).await;
    let texts: Vec<_> = dead.as_array().unwrap().iter().map(|delivery| delivery["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["three", "two", "one"]);
    assert_eq!((&dead[0]["state"], &dead[0]["user"], &dead[0]["attempts"]), (&json!("dead"), &json!(7), &json!(1)));
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
    let sent: Vec<_> = fleet.telegram.messages().into_iter().map(|message| message.text).collect();
    assert_eq!(sent, ["one", "two", "three"]);
    let left = json(&fleet, &["deliveries", "list"]).await;
    let left: Vec<_> = left.as_array().unwrap().iter().map(|delivery| &delivery["text"]).collect();
    assert_eq!(left, [&json!("other")]);
    assert_eq!(program.stop().await, Some(0));
}
