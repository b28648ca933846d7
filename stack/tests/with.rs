//! `stack with`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// `stack with -- sh -c SCRIPT`, without the addresses that this test may have in its own environment.
fn with(script: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stack"));
    command.args(["with", "--", "sh", "-c", script]).stdin(Stdio::null());
    command.env_remove("TEST_POSTGRES_URL").env_remove("TEST_KAFKA_BROKERS");
    command
}

fn printed(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

fn port_of(address: &str) -> u16 {
    let end = address.rsplit(':').next().unwrap();
    end.split('/').next().unwrap().parse().unwrap()
}

#[test]
fn the_command_finds_its_servers_and_its_exit_code_is_passed_on() {
    let output = with("echo $TEST_POSTGRES_URL; echo $TEST_KAFKA_BROKERS; exit 7").output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    let lines = printed(&output);
    assert!(lines[0].starts_with("postgres://postgres:"), "{lines:?}");
    assert!(lines[1].starts_with("127.0.0.1:"), "{lines:?}");
    for address in lines {
        assert!(!stack::ports::is_taken(port_of(&address)), "{address} still answers");
    }
}

#[test]
fn a_given_broker_is_used_instead_of_a_private_one() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stack"));
    command.args(["with", "--kafka", "kafka.example:9092", "--", "sh", "-c", "echo $TEST_KAFKA_BROKERS"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(printed(&output), ["kafka.example:9092"]);
}

#[test]
fn a_command_that_does_not_exist_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_stack")).args(["with", "--", "no-such-command"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot run no-such-command"), "{output:?}");
}

#[test]
fn sigterm_ends_the_command_and_what_it_started_and_the_servers() {
    let mut command = with("sleep 1000 & echo $! $TEST_POSTGRES_URL $TEST_KAFKA_BROKERS; wait");
    let mut launcher = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(launcher.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words.len(), 3, "{line}");

    kill_process(Pid::from_child(&launcher), Signal::TERM).unwrap();
    assert_eq!(launcher.wait().unwrap().code(), Some(128 + 15));
    assert_eq!(stack::process::command_line(words[0].parse().unwrap()), None, "the command's child still runs");
    for address in &words[1..] {
        assert!(!stack::ports::is_taken(port_of(address)), "{address} still answers");
    }
}
