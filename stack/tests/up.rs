//! `stack up`, with the real services: they have to be built, as `make test` does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use stack::{
    fleet::{Part, running},
    process::command_line,
};
use tempfile::TempDir;

/// A directory to run fleets in.
struct World {
    directory: TempDir,
}

/// A launcher that said `ready`.
struct Up {
    launcher: Child,
    /// What it printed until then.
    lines: Vec<String>,
}

impl World {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stack"));
        command.args(["up", "--ports", "free", "--payment-timeout", "7s", "--state-dir"]).arg(self.state());
        command.arg("--certs").arg(self.directory.path().join("certs"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn up(&self) -> Up {
        let mut launcher = self.command().spawn().unwrap();
        let mut lines = Vec::new();
        for line in BufReader::new(launcher.stdout.as_mut().unwrap()).lines() {
            lines.push(line.unwrap());
            if lines.last().unwrap() == "ready" {
                return Up { launcher, lines };
            }
        }
        let output = launcher.wait_with_output().unwrap();
        panic!("the fleet did not start:\n{}\n{}", lines.join("\n"), String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The data of a cluster may be elsewhere.
        let mut clean = Command::new(env!("CARGO_BIN_EXE_stack"));
        let _ = clean.args(["clean", "--state-dir"]).arg(self.state()).stdout(Stdio::null()).status();
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Of a test that failed.
        if matches!(self.launcher.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
            let _ = self.launcher.wait();
        }
    }
}

impl Up {
    /// The process ids in the table.
    fn processes(&self) -> Vec<(String, u32)> {
        let row = |line: &String| {
            let mut words = line.split_whitespace();
            let name = words.next().filter(|name| Part::ALL.iter().any(|part| part.name() == *name))?;
            Some((name.to_owned(), words.next()?.parse().ok()?))
        };
        self.lines.iter().filter_map(row).collect()
    }

    fn pid(&self, part: Part) -> u32 {
        self.processes().into_iter().find(|(name, _)| name == part.name()).unwrap().1
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.launcher), signal).unwrap();
    }

    /// Waits for its end; answers its exit code and what it said of errors.
    fn end(mut self) -> (Option<i32>, String) {
        let mut error = String::new();
        self.launcher.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        (self.launcher.wait().unwrap().code(), error)
    }
}

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

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
fn a_service_that_dies_is_reported_with_the_end_of_its_log() {
    let world = World::new();
    let up = world.up();
    kill(up.pid(Part::Loms), Signal::KILL);
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
    let taken: Vec<_> = [9092, 50052].map(|port| TcpListener::bind(("127.0.0.1", port))).into_iter().collect();
    let world = World::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_stack"));
    command.args(["up", "--state-dir"]).arg(world.state());
    let output = command.arg("--certs").arg(world.directory.path()).stdin(Stdio::null()).output().unwrap();
    drop(taken);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("port 9092 is taken, wanted for the broker"), "{error}");
    assert!(error.contains("port 50052 is taken, wanted for loms (gRPC)"), "{error}");
}
