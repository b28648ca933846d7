//! The state directory: claimed by one launcher at a time, it outlives the launcher, and what a killed launcher left
//! running is found by it.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::{Addresses, Part, Say, Service};
use crate::{
    files::replace_secret,
    process::{self, Process, end_stranger},
};

const LOCK: &str = "launcher.lock";
const ADDRESSES: &str = "fleet.json";
const PROCESSES: &str = "processes.json";

/// How a process of an earlier launcher is ended.
const SIGNALS: [(Signal, Duration); 2] =
    [(Signal::TERM, Duration::from_secs(6)), (Signal::KILL, Duration::from_secs(2))];

/// A claimed state directory. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct State {
    directory: PathBuf,
    processes: Vec<Record>,
    // Locked; the system unlocks it however this process ends.
    _lock: File,
}

/// What is remembered of a process, to know it again.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    name: String,
    pid: u32,
    command_line: String,
}

impl State {
    /// Makes the directory where it is missing and claims it; fails if a launcher has it.
    pub fn claim(directory: &Path) -> anyhow::Result<Self> {
        for part in [directory, &directory.join("log"), &directory.join("config")] {
            fs::create_dir_all(part).with_context(|| format!("cannot make the directory {}", part.display()))?;
        }
        let directory = directory.canonicalize()?;
        let path = directory.join(LOCK);
        loop {
            let mut lock =
                File::options().create(true).append(true).open(&path).context("cannot open the lock file")?;
            if lock.try_lock().is_err() {
                let owner = fs::read_to_string(&path).unwrap_or_default();
                let addresses = directory.join(ADDRESSES);
                bail!("the fleet is already running (process {}); see {}", owner.trim(), addresses.display());
            }
            // The owner removes the file as it leaves: this must not be the removed one.
            if fs::metadata(&path).is_ok_and(|file| Some(file.ino()) == lock.metadata().map(|own| own.ino()).ok()) {
                lock.set_len(0)?;
                writeln!(lock, "{}", std::process::id())?;
                return Ok(Self { directory, processes: Vec::new(), _lock: lock });
            }
        }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file for a part's output.
    pub fn log(&self, part: Part) -> PathBuf {
        self.directory.join("log").join(format!("{}.log", part.name()))
    }

    /// The file for a service's configuration.
    pub fn config(&self, service: Service) -> PathBuf {
        self.directory.join("config").join(format!("{}.yaml", service.name()))
    }

    /// Ends what a killed launcher left running.
    pub async fn end_leftovers(&self, say: Say<'_>) -> anyhow::Result<()> {
        let text = fs::read(self.directory.join(PROCESSES)).unwrap_or_default();
        let records: Vec<Record> = serde_json::from_slice(&text).unwrap_or_default();
        // The services were started last and go first.
        for record in records.iter().rev() {
            // By now the id may be another process's.
            if process::command_line(record.pid).as_ref() != Some(&record.command_line) {
                continue;
            }
            say(&format!("stopping {} of an earlier run (process {})", record.name, record.pid));
            if !end_stranger(record.pid, &SIGNALS).await {
                bail!("{} of an earlier run (process {}) does not stop", record.name, record.pid);
            }
        }
        Ok(())
    }

    /// Remembers a process, for the launcher that comes after this one.
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

    /// Tells others where the fleet is.
    pub fn publish(&self, addresses: &Addresses) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(addresses)?;
        replace_secret(&self.directory.join(ADDRESSES), &text)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // The processes stay written down: one that was not stopped is then found by the next launcher, and one that
        // was is known by its command line not to be there.
        for file in [ADDRESSES, LOCK] {
            let _ = fs::remove_file(self.directory.join(file));
        }
    }
}

/// The addresses of the fleet that runs on this state directory, if one does and is ready.
pub fn running(directory: &Path) -> Option<Addresses> {
    let lock = File::open(directory.join(LOCK)).ok()?;
    if lock.try_lock().is_ok() {
        return None;
    }
    serde_json::from_slice(&fs::read(directory.join(ADDRESSES)).ok()?).ok()
}
