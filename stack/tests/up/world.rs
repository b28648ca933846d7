//! Starts launchers as processes, for tests that look at them from outside.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use stack::fleet::Part;
use tempfile::TempDir;

/// A test fails if the launcher prints an expected line later.
const PATIENCE: Duration = Duration::from_secs(30);

/// A temporary directory to run fleets in.
pub struct World {
    pub directory: TempDir,
}

/// A launcher that has printed `ready`.
pub struct Up {
    launcher: Child,
    /// Standard output until `ready`.
    pub lines: Vec<String>,
    /// Standard error, line by line.
    errors: Receiver<String>,
}

impl World {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stack"));
        command.args(["up", "--ports", "free", "--payment-timeout", "7s", "--state-dir"]).arg(self.state());
        command.arg("--certs").arg(self.directory.path().join("certs"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn up(&self) -> Up {
        Self::start(self.command())
    }

    /// Waits until the launcher prints `ready`.
    pub fn start(mut command: Command) -> Up {
        let mut launcher = command.spawn().unwrap();
        let mut lines = Vec::new();
        for line in BufReader::new(launcher.stdout.as_mut().unwrap()).lines() {
            lines.push(line.unwrap());
            assert!(!lines.last().unwrap().contains('\u{1b}'), "a colour in a pipe: {lines:?}");
            if lines.last().unwrap() == "ready" {
                let errors = listen(launcher.stderr.take().unwrap());
                return Up { launcher, lines, errors };
            }
        }
        let output = launcher.wait_with_output().unwrap();
        panic!("the fleet did not start:\n{}\n{}", lines.join("\n"), String::from_utf8_lossy(&output.stderr));
    }
}

fn listen(stderr: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines() {
            // Nobody receives it if the test has ended.
            let _ = sender.send(line.unwrap());
        }
    });
    receiver
}

impl Drop for World {
    fn drop(&mut self) {
        // `stack clean` also removes data that is outside the directory.
        let mut clean = Command::new(env!("CARGO_BIN_EXE_stack"));
        let _ = clean.args(["clean", "--state-dir"]).arg(self.state()).stdout(Stdio::null()).status();
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Only a failed test leaves the launcher running.
        if matches!(self.launcher.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
            let _ = self.launcher.wait();
        }
    }
}

impl Up {
    /// The names and process ids in the table that the launcher printed.
    pub fn processes(&self) -> Vec<(String, u32)> {
        let row = |line: &String| {
            let mut words = line.split_whitespace();
            let name = words.next().filter(|name| Part::all().any(|part| part.name() == *name))?;
            Some((name.to_owned(), words.next()?.parse().ok()?))
        };
        self.lines.iter().filter_map(row).collect()
    }

    pub fn pid(&self, part: &str) -> u32 {
        self.processes().into_iter().find(|(name, _)| name == part).unwrap().1
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.launcher), signal).unwrap();
    }

    /// Waits until the launcher prints this text to standard error.
    pub fn wait_for_error(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.errors.recv_timeout(left).unwrap_or_else(|_| panic!("the launcher does not say: {text}"));
            if line.contains(text) {
                return;
            }
        }
    }

    /// Waits for the launcher's end. Returns its exit code and the rest of standard error.
    pub fn end(mut self) -> (Option<i32>, String) {
        let errors: Vec<_> = self.errors.iter().collect();
        (self.launcher.wait().unwrap().code(), errors.join("\n"))
    }
}

pub fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}
