//! `loms orders` and `loms outbox`: what operators see of an order, and of what waits to be published.

use std::path::PathBuf;

use proto::loms::OrderPayedRequest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    config::run,
    world::{Running, World, create, lock, order, user},
};

/// A LOMS without a broker, and an operator beside it.
struct Desk {
    world: World,
    loms: Running,
    config: PathBuf,
    _directory: TempDir,
}

impl Desk {
    async fn with_stock(stock: &[(i64, i64, i32)]) -> Self {
        let world = World::with_stock(stock).await;
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config.yaml");
        let nowhere = ["localhost:1".to_owned()];
        std::fs::write(&config, world.config_file("10m", &nowhere)).unwrap();
        let loms = Running::start(world.config_for(&nowhere)).await;
        Self { world, loms, config, _directory: directory }
    }

    /// What a command prints.
    async fn told(&self, arguments: &[&str]) -> String {
        let output = run(arguments, Some(&self.config)).await;
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.told(&[arguments, &["--json"]].concat()).await).unwrap()
    }

    /// The exit code and the words of a command that fails.
    async fn refusal(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = run(arguments, Some(&self.config)).await;
        assert!(output.stdout.is_empty(), "{output:?}");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_shown_with_its_lines_its_reservations_and_its_unpublished_events() {
    let desk = Desk::with_stock(&[(1, 7, 3), (2, 7, 10), (1, 8, 5)]).await;
    let (user, mut client) = (user(), desk.loms.client());
    let bought = create(&client, order(user, &[(8, 1), (7, 12)])).await.unwrap();
    let number = bought.to_string();

    let shown = desk.json(&["orders", "show", &number]).await;
    assert_eq!(shown["order"], bought);
    assert_eq!(shown["status"], "awaiting payment");
    assert_eq!(shown["user"], user);
    assert_eq!(shown["is_overdue"], false);
    assert_eq!(shown["items"], json!([{"sku": 7, "count": 12}, {"sku": 8, "count": 1}]));
    let reserved = json!([
        {"sku": 7, "warehouse": 1, "count": 2},
        {"sku": 7, "warehouse": 2, "count": 10},
        {"sku": 8, "warehouse": 1, "count": 1},
    ]);
    assert_eq!(shown["reservations"], reserved);
    let statuses = |shown: &Value| -> Vec<String> {
        let events = shown["unpublished_events"].as_array().unwrap().iter();
        events.map(|event| event["status"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(statuses(&shown), ["new", "awaiting payment"]);

    let text = desk.told(&["orders", "show", &number]).await;
    for line in ["status      awaiting payment", "  7          2        10", "2 events wait to be published."] {
        assert!(text.lines().any(|told| told.trim_end().ends_with(line)), "{line:?} is not in\n{text}");
    }
    assert!(text.contains(" UTC, in 9m "), "{text}");

    client.order_payed(OrderPayedRequest { order_id: bought }).await.unwrap();
    let shown = desk.json(&["orders", "show", &number]).await;
    assert_eq!((&shown["status"], &shown["reservations"]), (&json!("paid"), &json!([])));
    assert_eq!(statuses(&shown), ["new", "awaiting payment", "paid"]);
    assert!(desk.told(&["orders", "show", &number]).await.contains("Nothing is reserved for it."));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_failed_says_what_was_short_and_one_that_lost_its_reservations_says_so() {
    let desk = Desk::with_stock(&[(1, 7, 3)]).await;
    create(&desk.loms.client(), order(user(), &[(7, 4)])).await.unwrap_err();
    let failed = desk.world.number("SELECT id FROM orders").await.to_string();
    let shown = desk.json(&["orders", "show", &failed]).await;
    assert_eq!(shown["shortage"], json!({"sku": 7, "requested": 4, "available": 3}));
    let text = desk.told(&["orders", "show", &failed]).await;
    assert!(text.contains("SKU 7: 4 were asked for, 3 were free"), "{text}");

    let robbed = create(&desk.loms.client(), order(user(), &[(7, 2)])).await.unwrap().to_string();
    desk.world.execute("CREATE TABLE kept AS SELECT * FROM reservation").await.unwrap();
    desk.world.execute("DELETE FROM reservation").await.unwrap();
    let text = desk.told(&["orders", "show", &robbed]).await;
    assert!(text.contains("It has lost its reservations"), "{text}");
    desk.world.execute("INSERT INTO reservation SELECT * FROM kept").await.unwrap();
    desk.world.execute("DROP TABLE kept").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_does_not_exist_and_a_number_that_is_none_are_told() {
    let desk = Desk::with_stock(&[]).await;
    assert_eq!(desk.refusal(&["orders", "show", "17"]).await, (Some(1), "loms: there is no order 17\n".to_owned()));
    for (number, fault) in
        [("0", "must be above 0, is 0"), ("-3", "must be above 0, is -3"), ("x", "must be a whole number")]
    {
        let (code, told) = desk.refusal(&["orders", "show", number, "--json"]).await;
        assert!(code == Some(64) && told.contains(fault), "{number}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outbox_tells_how_much_waits_whose_it_is_and_who_publishes() {
    let desk = Desk::with_stock(&[(1, 7, 100)]).await;
    let text = desk.told(&["outbox", "status"]).await;
    assert_eq!(text, "Nothing waits to be published.\nNo relay publishes at this moment: its lock is free.\n");
    let nothing = desk.json(&["outbox", "status"]).await;
    let (events, oldest, relay) = (&nothing["events"], &nothing["oldest_at"], &nothing["relay"]);
    assert_eq!((events, oldest, relay), (&json!(0), &Value::Null, &Value::Null));

    let mut orders = Vec::new();
    for _ in 0..3 {
        orders.push(create(&desk.loms.client(), order(user(), &[(7, 1)])).await.unwrap());
    }
    desk.loms.client().order_payed(OrderPayedRequest { order_id: orders[1] }).await.unwrap();
    desk.world.execute("UPDATE outbox SET occurred_at = occurred_at - interval '3 minutes'").await.unwrap();
    let mut relay = desk.world.database.pool.begin().await.unwrap();
    lock(&mut relay, "SELECT pg_advisory_xact_lock(1)").await;
    let holder: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *relay).await.unwrap();

    let status = desk.json(&["outbox", "status", "--limit", "2"]).await;
    assert_eq!((&status["events"], &status["orders"]), (&json!(7), &json!(3)));
    assert!(status["oldest_age_seconds"].as_u64().unwrap() >= 180, "{status}");
    assert_eq!(status["relay"]["pid"], holder);
    let waiting = status["longest_waiting"].as_array().unwrap();
    assert_eq!(waiting.len(), 2);
    assert_eq!((&waiting[0]["order"], &waiting[0]["events"]), (&json!(orders[0]), &json!(2)));
    assert_eq!((&waiting[1]["events"], &waiting[1]["next_status"]), (&json!(3), &json!("new")));

    let text = desk.told(&["outbox", "status", "--limit", "2"]).await;
    for words in [
        "7 events of 3 orders wait to be published, the oldest for 3m",
        &format!("session {holder}"),
        "and 1 more order",
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    relay.rollback().await.unwrap();
}
