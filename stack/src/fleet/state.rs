//! The state directory. One launcher at a time can claim it. It lists the launcher's processes, so that after a kill of
//! the launcher the next one can find and stop them.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::{Addresses, Part, Service};
use crate::{
    Say,
    files::replace_secret,
    process::{self, Process, end_by_pid},
};

const LOCK: &str = "launcher.lock";
const ADDRESSES: &str = "fleet.json";
const PROCESSES: &str = "processes.json";

/// How to stop a process of an earlier launcher: signals, and how long to wait after each.
const SIGNALS: [(Signal, Duration); 2] =
    [(Signal::TERM, Duration::from_secs(6)), (Signal::KILL, Duration::from_secs(2))];

/// A claimed state directory. Dropping it ends the claim.
#[derive(Debug)]
pub(super) struct State {
    directory: PathBuf,
    processes: Vec<Record>,
    // Locked. The system unlocks the file when this process ends, even by a kill.
    _lock: File,
}

/// A process, with its command line: its id alone may belong to another process later.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    name: String,
    pid: u32,
    command_line: String,
}

impl Record {
    fn is_alive(&self) -> bool {
        process::command_line(self.pid).as_ref() == Some(&self.command_line)
    }
}

impl State {
    /// Makes the directory if it is missing, and claims it. Fails if another launcher has it.
    pub fn claim(directory: &Path) -> anyhow::Result<Self> {
        for part in [directory, &directory.join("log"), &directory.join("config")] {
            fs::create_dir_all(part).with_context(|| format!("cannot make the directory {}", part.display()))?;
        }
        let directory = directory.canonicalize().with_context(|| format!("cannot find {}", directory.display()))?;
        let path = directory.join(LOCK);
        loop {
            let mut lock = File::options()
                .create(true)
                .append(true)
                .open(&path)
                .with_context(|| format!("cannot open the lock file {}{}", path.display(), owner_of(&path)))?;
            if lock.try_lock().is_err() {
                let owner = fs::read_to_string(&path).unwrap_or_default();
                let addresses = directory.join(ADDRESSES);
                bail!("the fleet is already running (process {}); see {}", owner.trim(), addresses.display());
            }
            // The last owner removes the file when it ends. If it did so since we opened the file, ours is a lock on a
            // file that nobody else finds, so try again.
            if fs::metadata(&path).is_ok_and(|file| Some(file.ino()) == lock.metadata().map(|own| own.ino()).ok()) {
                lock.set_len(0)?;
                writeln!(lock, "{}", std::process::id())?;
                return Ok(Self { directory, processes: Vec::new(), _lock: lock });
            }
        }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn log(&self, part: Part) -> PathBuf {
        self.directory.join("log").join(format!("{}.log", part.name()))
    }

    pub fn config(&self, service: Service) -> PathBuf {
        self.directory.join("config").join(format!("{}.yaml", service.name()))
    }

    /// Stops the processes that a killed launcher left running.
    pub async fn end_leftovers(&self, say: Say<'_>) -> anyhow::Result<()> {
        // The services were started last, so they are stopped first.
        for record in records(&self.directory).iter().rev() {
            if !record.is_alive() {
                continue;
            }
            say(&format!("stopping {} of an earlier run (process {})", record.name, record.pid));
            if !end_by_pid(record.pid, &SIGNALS).await {
                bail!("{} of an earlier run (process {}) does not stop", record.name, record.pid);
            }
        }
        Ok(())
    }

    /// Adds a process to the list for the next launcher.
    pub fn remember(&mut self, process: &Process) -> anyhow::Result<()> {
        self.processes.retain(|record| record.name != process.name());
        self.processes.push(Record {
            name: process.name().to_owned(),
            pid: process.id(),
            command_line: process.command_line().to_owned(),
        });
        let text = serde_json::to_string_pretty(&self.processes)?;
        replace_secret(&self.directory.join(PROCESSES), &text)
    }

    /// Writes `fleet.json`. Others read in it that the fleet is ready, and where it is.
    pub fn publish(&self, addresses: &Addresses) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(addresses)?;
        replace_secret(&self.directory.join(ADDRESSES), &text)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // The list of processes stays, so that the next launcher finds a process that was not stopped.
        for file in [ADDRESSES, LOCK] {
            let _ = fs::remove_file(self.directory.join(file));
        }
    }
}

/// Says whose the file is, if it belongs to another account; nothing otherwise.
fn owner_of(path: &Path) -> String {
    let owner = fs::metadata(path).map(|file| file.uid());
    let another = owner.ok().filter(|owner| *owner != rustix::process::geteuid().as_raw());
    another.map_or_else(String::new, |owner| format!(", which belongs to another account (user id {owner})"))
}

/// The addresses of the fleet that runs on this state directory; none if no fleet is ready.
pub fn running(directory: &Path) -> Option<Addresses> {
    let lock = File::open(directory.join(LOCK)).ok()?;
    if lock.try_lock().is_ok() {
        return None;
    }
    serde_json::from_slice(&fs::read(directory.join(ADDRESSES)).ok()?).ok()
}

/// The processes of the fleet on this state directory that are alive, by name.
pub fn pids(directory: &Path) -> HashMap<String, u32> {
    let alive = records(directory).into_iter().filter(Record::is_alive);
    alive.map(|record| (record.name, record.pid)).collect()
}

fn records(directory: &Path) -> Vec<Record> {
    let text = fs::read(directory.join(PROCESSES)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::os::unix::fs::chown;

    use super::*;

    #[test]
    fn a_file_of_another_account_is_told_with_its_owner() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(owner_of(file.path()), "");
        let (path, owner) = if rustix::process::geteuid().is_root() {
            chown(file.path(), Some(4242), None).unwrap();
            (file.path(), 4242)
        } else {
            (Path::new("/"), 0)
        };
        assert_eq!(owner_of(path), format!(", which belongs to another account (user id {owner})"));
    }
}
