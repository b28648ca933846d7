//! `stack up`, with the real services: they have to be built, as `make test` does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod load;
mod observability;
mod printed;
mod status;
mod world;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use stack::{fleet::running, process::command_line, prometheus};
use world::{Up, World, kill};

#[test]
fn the_fleet_starts_stops_within_ten_seconds_and_keeps_its_data() {
    let world = World::new();
    let up = world.up();
    let processes = up.processes();
    assert_eq!(processes.len(), 7, "{processes:?}");
    let addresses = running(&world.state()).unwrap();
    assert_eq!(addresses.payment_timeout, Duration::from_secs(7));

    let second = world.command().output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("the fleet is already running"), "{second:?}");

    let asked = Instant::now();
    up.signal(Signal::TERM);
    assert_eq!(up.end(), (Some(0), String::new()));
    assert!(asked.elapsed() < Duration::from_secs(10), "took {:?}", asked.elapsed());
    for (name, pid) in processes {
        assert_eq!(command_line(pid), None, "{name} still runs");
    }
    assert!(running(&world.state()).is_none());
    assert!(!world.state().join("launcher.lock").exists());

    let again = world.up();
    let imported = |up: &Up| up.lines.iter().any(|line| line.contains("importing the first stock"));
    assert!(!imported(&again), "the stock of the first run was not kept");
    again.signal(Signal::INT);
    assert_eq!(again.end().0, Some(0));
}

#[test]
fn a_fleet_whose_words_nobody_reads_any_more_ends_as_orderly_as_any() {
    let world = World::new();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = world.command();
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    let mut launcher = command.spawn().unwrap();
    // The ends that the command has are for the launcher alone.
    drop(command);
    let mut lines = BufReader::new(reader).lines();
    assert!(lines.any(|line| line.unwrap() == "ready"));
    drop(lines);
    kill_process(Pid::from_child(&launcher), Signal::INT).unwrap();
    assert_eq!(launcher.wait().unwrap().code(), Some(0));
    let log = |name: &str| fs::read_to_string(world.state().join("log").join(name)).unwrap();
    let postgres = log("postgres.log");
    assert!(postgres.contains("received fast shutdown request"), "{postgres}");
    for service in ["checkout.log", "loms.log", "notifications.log"] {
        assert!(log(service).contains("stopping"), "{}", log(service));
    }
}

#[test]
fn a_service_that_dies_is_reported_with_the_end_of_its_log() {
    let world = World::new();
    let up = world.up();
    kill(up.pid("loms"), Signal::KILL);
    let others = up.processes();
    let (code, error) = up.end();
    assert_eq!(code, Some(1));
    assert!(error.contains("loms was ended by signal 9; the end of "), "{error}");
    let log = fs::read_to_string(world.state().join("log/loms.log")).unwrap();
    assert!(error.contains(log.lines().last().unwrap()), "{error}");
    assert!(others.iter().all(|(_, pid)| command_line(*pid).is_none()));
}

#[test]
fn what_a_killed_launcher_left_behind_is_stopped_by_the_next() {
    let world = World::new();
    let up = world.up();
    let processes = up.processes();
    up.signal(Signal::KILL);
    up.end();
    assert!(running(&world.state()).is_none());
    assert!(processes.iter().all(|(_, pid)| command_line(*pid).is_some()));

    let next = world.up();
    for (name, pid) in processes {
        assert_eq!(command_line(pid), None, "{name} of the killed launcher still runs");
    }
    next.signal(Signal::TERM);
    assert_eq!(next.end().0, Some(0));
}

#[test]
fn a_taken_port_is_named_with_what_it_is_wanted_for() {
    let taken: Vec<_> = [9090, 9092, 50052].map(|port| TcpListener::bind(("127.0.0.1", port))).into_iter().collect();
    // The port of a Prometheus that is not installed would not be checked.
    prometheus::tools().unwrap();
    let world = World::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_stack"));
    command.args(["up", "--observability", "--state-dir"]).arg(world.state());
    let output = command.arg("--certs").arg(world.directory.path()).stdin(Stdio::null()).output().unwrap();
    drop(taken);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("port 9092 is taken, wanted for the broker"), "{error}");
    assert!(error.contains("port 9090 is taken, wanted for Prometheus"), "{error}");
    assert!(error.contains("port 50052 is taken, wanted for loms (gRPC)"), "{error}");
}
