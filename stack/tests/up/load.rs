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
fn a_load_over_http_is_the_same_load_with_the_same_books() {
    let world = World::new();
    let _up = world.up();
    let fleet = running(&world.state()).unwrap();
    let json = world.directory.path().join("load.json");
    let options = ["--door", "json", "--scenario", "mixed", "--users", "8", "--duration", "4s", "--json"];
    let output = load(&world, &[&options[..], &[json.to_str().unwrap()]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("the books are in order: "), "{text}");
    let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    for call in ["journey", "AddToCart", "Purchase", "OrderPayed", "Stocks"] {
        assert!(report["calls"][call]["count"].as_u64().unwrap() > 0, "{call} in {report:#}");
        // Of some SKUs there are few.
        let mut codes = report["calls"][call]["codes"].as_object().unwrap().keys();
        assert!(codes.all(|code| code == "FAILED_PRECONDITION"), "{call} in {report:#}");
    }
    assert!(report["books"]["orders"].as_u64().unwrap() > 0 && report["books"]["messages"].as_u64().unwrap() > 0);

    // A refusal has the code of gRPC; and the addresses may be given, of that door.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let refuse = "ALTER TABLE stock ADD CONSTRAINT refuse CHECK (reserved = 0) NOT VALID";
        PgConnection::connect(&fleet.loms.database).await.unwrap().execute(refuse).await.unwrap();
    });
    let [checkout, loms, notifications] =
        [&fleet.checkout, &fleet.loms, &fleet.notifications].map(|service| service.http_url());
    let product_service = format!("https://localhost:{}", fleet.product_service.port());
    let certs = fleet.certs.to_str().unwrap();
    let addresses = [
        "--checkout",
        &checkout,
        "--loms",
        &loms,
        "--notifications",
        &notifications,
        "--product-service",
        &product_service,
        "--certs",
        certs,
    ];
    let options = ["--door", "json", "--scenario", "order", "--users", "2", "--duration", "1s", "--no-books"];
    let output = load(&world, &[&options[..], &addresses].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let orders = text.lines().find(|line| line.starts_with("CreateOrder ")).unwrap_or_else(|| panic!("{text}"));
    assert!(orders.ends_with(" INTERNAL"), "{text}");
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
    let output = load(&world, &["--door", "json", "--scenario", "health"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("--door json has no health checks"), "{text}");
}

#[test]
fn without_a_fleet_a_load_says_what_to_do() {
    let world = World::new();
    let output = load(&world, &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("no fleet is ready on ") && text.contains("make run"), "{text}");
}
