//! A child process in a process group of its own, so that a terminal's Ctrl-C reaches the launcher alone and the
//! launcher decides who stops when. Dropping one kills it.

use std::{
    fs::{self, File},
    io,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How often a process is looked at while it is waited for.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// A running child.
#[derive(Debug)]
pub struct Process {
    name: String,
    command_line: String,
    child: Child,
}

impl Process {
    /// Starts the command with nothing to read; what it prints is appended to the file `log`.
    pub fn spawn(name: &str, mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let command_line = [command.get_program()]
            .into_iter()
            .chain(command.get_args())
            .map(|part| part.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ");
        let mut start = || -> io::Result<Child> {
            let log = File::options().create(true).append(true).open(log)?;
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0).spawn()
        };
        let child = start().with_context(|| format!("cannot start {name} ({command_line})"))?;
        Ok(Self { name: name.to_owned(), command_line, child })
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id, which is its process group's as well.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The program and its arguments, as [`command_line`] shows them while it runs.
    pub fn command_line(&self) -> &str {
        &self.command_line
    }

    /// How it ended, if it did.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends a signal to the process itself, not to its group.
    pub fn signal(&mut self, signal: Signal) {
        // A process that was waited for has given its id back.
        if self.exited().is_none() {
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }

    /// Asks with a signal, waits up to `grace`, then kills the whole group.
    pub async fn stop(&mut self, signal: Signal, grace: Duration) {
        if !self.ask(signal, grace).await {
            self.kill();
        }
    }

    /// Asks with a signal and waits up to `grace`; answers whether it has gone.
    pub(crate) async fn ask(&mut self, signal: Signal, grace: Duration) -> bool {
        self.signal(signal);
        let deadline = Instant::now() + grace;
        while self.exited().is_none() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
        true
    }

    /// As [`stop`](Self::stop), for where nothing can be awaited.
    pub(crate) fn stop_blocking(&mut self, signal: Signal, grace: Duration) {
        self.signal(signal);
        let deadline = Instant::now() + grace;
        while self.exited().is_none() {
            if Instant::now() >= deadline {
                self.kill();
                return;
            }
            thread::sleep(POLL);
        }
    }

    /// Kills the whole group at once and waits until the process is gone.
    pub fn kill(&mut self) {
        if self.exited().is_none() {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An exit in words: `exited with code 1`, `was ended by signal 9`.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// The last lines of a log, indented, for messages.
pub fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<_> = text.lines().collect();
    let last = all.get(all.len().saturating_sub(lines)..).unwrap_or_default();
    if last.is_empty() {
        return format!("  ({} is empty)", log.display());
    }
    last.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// The program and arguments of any running process, joined by blanks; nothing when there is no such process.
pub fn command_line(pid: u32) -> Option<String> {
    let parts = match fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).replace('\0', " "),
        Err(_) if Path::new("/proc/self").exists() => return None,
        // Not Linux.
        Err(_) => {
            let output = Command::new("ps").args(["-ww", "-o", "args=", "-p", &pid.to_string()]).output().ok()?;
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
    };
    Some(parts.trim().to_owned()).filter(|line| !line.is_empty())
}

/// Ends a process that is no child of ours: asks with each signal in turn and gives it so long to go. Answers whether
/// it is gone.
pub(crate) async fn end_stranger(pid: u32, signals: &[(Signal, Duration)]) -> bool {
    // One that nobody has waited for yet still has an id, but no command line.
    let gone = || command_line(pid).is_none();
    let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return true };
    for (signal, grace) in signals {
        if kill_process(id, *signal).is_err() {
            break;
        }
        let deadline = Instant::now() + *grace;
        while !gone() && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
    }
    gone()
}
