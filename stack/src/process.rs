//! A child process in a process group of its own. A terminal's Ctrl-C therefore reaches only the launcher, which
//! decides in what order its children stop. Dropping a child kills it.

use std::{
    fs::{self, File},
    io,
    net::SocketAddr,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// The pause between two looks at something that is awaited.
pub(crate) const POLL: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub struct Process {
    name: String,
    command_line: String,
    child: Child,
}

impl Process {
    /// Starts the command with an empty standard input. Its output is appended to the file `log`.
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

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id, which is also the id of the process group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The same text as the function [`command_line`] returns while the process runs.
    pub fn command_line(&self) -> &str {
        &self.command_line
    }

    /// None while the process runs.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until `check` succeeds. Fails with the end of the log if the process ends, or if it takes too long; then
    /// the error of `check` follows the name `who` in the message.
    pub(crate) async fn wait_until(
        &mut self,
        mut check: impl AsyncFnMut() -> Result<(), String>,
        timeout: Duration,
        who: &str,
        log: &Path,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + timeout;
        while let Err(error) = check().await {
            if let Some(status) = self.exited() {
                bail!("{who} {}:\n{}", describe(status), tail(log, 20));
            }
            if Instant::now() > deadline {
                bail!("{who} {error}:\n{}", tail(log, 20));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits in the same way until a program of the Prometheus project says that it is ready.
    pub(crate) async fn wait_until_ready(
        &mut self,
        client: &Client,
        address: SocketAddr,
        timeout: Duration,
        who: &str,
        log: &Path,
    ) -> anyhow::Result<()> {
        let ready = format!("http://{address}/-/ready");
        let check = async || match client.get(&ready).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(_) | Err(_) => Err("is not ready".to_owned()),
        };
        self.wait_until(check, timeout, who, log).await
    }

    /// Sends a signal to the process itself, not to its group.
    pub fn signal(&mut self, signal: Signal) {
        // After its end, the id may belong to another process.
        if self.exited().is_none() {
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }

    /// Sends the signal, waits up to `grace`, then kills the whole group.
    pub async fn stop(&mut self, signal: Signal, grace: Duration) {
        if !self.ask(signal, grace).await {
            self.kill();
        }
    }

    /// Sends the signal and waits up to `grace`. Returns whether the process has ended.
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

    /// Like [`stop`](Self::stop), for code that cannot await, such as `drop`.
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

    /// Kills the whole group, and waits until the process has ended.
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

/// Such as `exited with code 1` or `was ended by signal 9`.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// The last lines of a log, indented.
pub fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<_> = text.lines().collect();
    let last = all.get(all.len().saturating_sub(lines)..).unwrap_or_default();
    if last.is_empty() {
        return format!("  ({} is empty)", log.display());
    }
    last.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// The program and the arguments of any process, joined by blanks; none if there is no such process.
pub fn command_line(pid: u32) -> Option<String> {
    let parts = match fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).replace('\0', " "),
        Err(_) if Path::new("/proc/self").exists() => return None,
        // A system without /proc, such as macOS.
        Err(_) => {
            let output = Command::new("ps").args(["-ww", "-o", "args=", "-p", &pid.to_string()]).output().ok()?;
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
    };
    Some(parts.trim().to_owned()).filter(|line| !line.is_empty())
}

/// Ends a process that is not our child: sends each signal in turn and waits so long. Returns whether it has ended.
pub(crate) async fn end_by_pid(pid: u32, signals: &[(Signal, Duration)]) -> bool {
    // A process that has ended may keep its id until its parent waits for it, but it has no command line.
    let has_ended = || command_line(pid).is_none();
    let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return true };
    for (signal, grace) in signals {
        if kill_process(id, *signal).is_err() {
            break;
        }
        let deadline = Instant::now() + *grace;
        while !has_ended() && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
    }
    has_ended()
}
