//! `stack load` against a whole fleet.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sqlx::{Connection as _, Executor as _, PgConnection};
use stack::fleet::running;

use super::world::World;

fn load(world: &World, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stack"));
    command.args(["load", "--state-dir"]).arg(world.state()).args(options).output().unwrap()
}

#[test]
fn a_load_tells_how_the_fleet_answers_and_that_its_books_are_in_order() {
    let world = World::new();
    let _up = world.up();
    // First, because the orders that others leave unpaid give back their stock later.
    let rate = load(&world, &["--scenario", "flash", "--rate", "20", "--duration", "2s"]);
    let text = String::from_utf8(rate.stdout).unwrap();
    assert!(rate.status.success() && text.contains("the books are in order: "), "{text}");

    let (json, svg) = (world.directory.path().join("load.json"), world.directory.path().join("load.svg"));
    let files = ["--json", json.to_str().unwrap(), "--svg", svg.to_str().unwrap()];
    let options = ["--scenario", "mixed", "--users", "8", "--choice", "zipf", "--duration", "4s"];
    let output = load(&world, &[&options[..], &files].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("the books are in order: "), "{text}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 s: "), "a line a second");
    let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    for call in ["journey", "AddToCart", "Purchase", "OrderPayed"] {
        assert!(report["calls"][call]["count"].as_u64().unwrap() > 0, "{call} in {report:#}");
        assert!(report["calls"][call]["p99_ms"].as_f64().unwrap() > 0.0, "{call} in {report:#}");
    }
    assert!(report["books"]["orders"].as_u64().unwrap() > 0 && report["books"]["messages"].as_u64().unwrap() > 0);
    assert!(std::fs::read_to_string(svg).unwrap().contains("Latency of journeys"));
}

#[test]
fn an_interrupted_load_reports_what_it_did_so_far() {
    let world = World::new();
    let _up = world.up();
    let mut command = Command::new(env!("CARGO_BIN_EXE_stack"));
    command.args(["load", "--duration", "1h", "--users", "2", "--state-dir"]).arg(world.state());
    let mut load = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let first = BufReader::new(load.stderr.as_mut().unwrap()).lines().next().unwrap().unwrap();
    assert!(first.starts_with("1 s: "), "{first}");
    kill_process(Pid::from_child(&load), Signal::INT).unwrap();
    let output = load.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("the books are in order: "), "{text}");
}

#[test]
fn a_fault_in_the_books_fails_the_load_and_names_the_order() {
    let world = World::new();
    let _up = world.up();
    let database = running(&world.state()).unwrap().loms.database;
    // Every fifth order says that it has one unit more than was bought, and every payment takes one unit more.
    let lies = "
        CREATE FUNCTION lie() RETURNS trigger LANGUAGE plpgsql AS
            $$BEGIN NEW.count := NEW.count + 1; RETURN NEW; END$$;
        CREATE TRIGGER lies BEFORE INSERT ON order_item FOR EACH ROW WHEN (NEW.order_id % 5 = 0)
            EXECUTE FUNCTION lie();
        CREATE FUNCTION steal() RETURNS trigger LANGUAGE plpgsql AS
            $$BEGIN NEW.on_hand := NEW.on_hand - 1; RETURN NEW; END$$;
        CREATE TRIGGER steals BEFORE UPDATE ON stock FOR EACH ROW WHEN (NEW.on_hand < OLD.on_hand)
            EXECUTE FUNCTION steal();";
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        PgConnection::connect(&database).await.unwrap().execute(lies).await.unwrap();
    });
    let output = load(&world, &["--users", "4", "--duration", "3s"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("THE BOOKS ARE WRONG"), "{text}");
    assert!(text.lines().any(|line| line.contains("  order ") && line.contains("was bought")), "{text}");
    assert!(text.lines().any(|line| line.contains("  SKU ") && line.contains("were free before")), "{text}");
}

#[test]
fn options_that_make_no_sense_are_refused_by_name() {
    let world = World::new();
    let refused = [
        ["--rate", "0"],
        ["--rate", "1e300"],
        ["--users", "0"],
        ["--choice", "zipf:0"],
        ["--loms", "http://localhost:1"],
    ];
    for options in refused {
        let output = load(&world, &options);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{options:?}: {text}");
        assert!(text.contains(options[0]), "{options:?}: {text}");
    }
}

#[test]
fn without_a_fleet_a_load_says_what_to_do() {
    let world = World::new();
    let output = load(&world, &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("no fleet is ready on ") && text.contains("make run"), "{text}");
}
