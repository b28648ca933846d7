//! `stack status` beside a whole fleet, and beside none.

use std::process::{Command, Output};

use rustix::process::Signal;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use stack::{fleet::running, testing::eventually};

use super::world::{World, kill};

fn status(world: &World, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stack"));
    command.args(["status", "--state-dir"]).arg(world.state()).args(options).output().unwrap()
}

fn board(world: &World) -> Value {
    serde_json::from_slice(&status(world, &["--json"]).stdout).unwrap()
}

/// A row of the board by what it is about.
fn row<'a>(board: &'a Value, list: &str, what: &str) -> &'a Value {
    let rows = board[list].as_array().unwrap();
    rows.iter().find(|row| row["what"] == what || row["name"] == what).unwrap_or_else(|| panic!("no {what} in {board}"))
}

async fn execute(database: &str, statement: &'static str) {
    PgConnection::connect(database).await.unwrap().execute(AssertSqlSafe(statement)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_board_shows_what_runs_and_what_waits_within_80_columns() {
    let world = World::new();
    let up = world.up();
    let output = status(&world, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.ends_with("All is well: every process is up, and nothing waits for long.\n"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");

    let whole = board(&world);
    assert_eq!(whole["is_whole"], true);
    for (name, pid) in up.processes().into_iter().filter(|(name, _)| name != "postgres") {
        assert_eq!(row(&whole, "processes", &name)["pid"], pid, "{name}");
    }
    assert_eq!(row(&whole, "processes", "loms")["version"], env!("CARGO_PKG_VERSION"));
    let load = row(&whole, "limits", "calls refused for load");
    assert_eq!((&load["checkout"], &load["loms"], &load["notifications"]), (&0.into(), &0.into(), &0.into()));
    let turns = row(&whole, "limits", "waits for a turn at ProductService");
    assert_eq!((&turns["checkout"], &turns["loms"]), (&0.into(), &Value::Null));

    let addresses = running(&world.state()).unwrap();
    execute(
        &addresses.loms.database,
        "INSERT INTO orders (user_id, status, created_at, pay_before) \
         SELECT 1, 'awaiting payment', now(), now() + interval '1 hour' FROM generate_series(1, 3)",
    )
    .await;
    execute(
        &addresses.notifications.database,
        "WITH kept AS (
            INSERT INTO message (event_id, user_id, order_id, status, text, occurred_at)
            VALUES ('x', 1, 3, 'paid', 'never told', now()) RETURNING id, order_id
        )
        INSERT INTO delivery (message_id, order_id, state, attempts, settled_at, last_error)
        SELECT id, order_id, 'dead', 1, now(), 'no' FROM kept",
    )
    .await;
    eventually("the board has them", async || {
        let board = board(&world);
        let count = |what: &str| row(&board, "waiting", what)["count"].as_u64();
        (count("orders that await payment") == Some(3) && count("deliveries given up") == Some(1)).then_some(())
    })
    .await;
    let whole = board(&world);
    for row in whole["waiting"].as_array().unwrap() {
        assert!(row["count"].is_u64(), "nobody tells of it: {row}");
    }
    for row in whole["limits"].as_array().unwrap() {
        assert!(["checkout", "loms", "notifications"].iter().any(|service| row[service].is_u64()), "{row}");
    }
    let text = String::from_utf8(status(&world, &[]).stdout).unwrap();
    assert!(text.ends_with("deliveries given up: 1 (DeliveriesDead)\n"), "{text}");
}

#[test]
fn a_service_that_does_not_answer_is_down_and_the_rest_is_shown() {
    let world = World::new();
    let up = world.up();
    let stopped = ["loms", "product-service"].map(|name| up.pid(name));
    stopped.iter().for_each(|pid| kill(*pid, Signal::STOP));
    let output = status(&world, &[]);
    let whole = board(&world);
    stopped.iter().for_each(|pid| kill(*pid, Signal::CONT));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("loms does not answer (ServiceDown)"), "{text}");
    assert!(text.contains("product-service does not answer\n"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert_eq!(row(&whole, "waiting", "events in the outbox")["count"], Value::Null);
    assert_eq!(row(&whole, "processes", "notifications")["state"], "ready", "{whole:#}");
}

#[test]
fn without_a_fleet_the_board_says_so() {
    let world = World::new();
    let output = status(&world, &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("No fleet is ready on ") && text.contains("make run"), "{text}");
    assert_eq!(board(&world), Value::Null);
}
