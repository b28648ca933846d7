//! What the processes of a fleet use, as Linux counts it.

use std::{
    collections::BTreeMap,
    fs,
    ops::Sub,
    process::{self, Command},
    time::Duration,
};

use chrono::Utc;

use crate::fleet::{Fleet, Part};

/// The clock of `/proc/<pid>/stat`. Linux shows it to programs as 100, whatever it is inside.
const TICKS_PER_SECOND: f64 = 100.0;

/// The load itself.
pub(super) const CLIENT: &str = "client";

/// CPU time by process since each began, in seconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Cpu(pub BTreeMap<&'static str, f64>);

impl Cpu {
    pub fn of(fleet: &mut Fleet) -> Self {
        let mut seconds = BTreeMap::from([(CLIENT, ticks(process::id(), false))]);
        for part in Part::all() {
            if let Some(id) = fleet.id(part) {
                // Postgres has a process for each connection.
                seconds.insert(part.name(), ticks(id, part == Part::Postgres));
            }
        }
        Self(seconds.into_iter().map(|(name, ticks)| (name, ticks as f64 / TICKS_PER_SECOND)).collect())
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        let before = |name| before.0.get(name).copied().unwrap_or_default();
        Self(self.0.into_iter().map(|(name, seconds)| (name, seconds - before(name))).collect())
    }
}

/// Ticks of a process and of the children that it has waited for; with `and_children`, also of those that run.
fn ticks(id: u32, and_children: bool) -> u64 {
    let own = stat(id).map_or(0, |stat| stat.ticks);
    if !and_children {
        return own;
    }
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    own + ids.filter_map(stat).filter(|stat| stat.parent == id).map(|stat| stat.ticks).sum::<u64>()
}

struct Stat {
    parent: u32,
    ticks: u64,
}

fn stat(id: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name of the program, in parentheses, may have blanks.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let ticks = (11..15).map(number).sum::<Option<u64>>()?;
    Some(Stat { parent: u32::try_from(number(1)?).ok()?, ticks })
}

/// Memory of a process in MiB.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Memory {
    pub now: f64,
    pub peak: f64,
}

impl Memory {
    pub fn of(id: u32) -> Self {
        let text = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let mib = |name: &str| {
            let kib =
                text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<f64>().ok());
            kib.unwrap_or_default() / 1024.0
        };
        Self { now: mib("VmRSS:"), peak: mib("VmHWM:") }
    }
}

/// The program and version of this machine's processor, how many there are, and its memory.
pub(super) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kib: f64 = value(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
    let model = value(&read("/proc/cpuinfo"), "model name");
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} cores of {model}, {:.0} GiB, Linux {}", kib / 1024.0 / 1024.0, kernel.trim())
}

/// The commit that the work tree is at, and the date.
pub(super) fn build() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|_| output.status.success())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "no commit".to_owned());
    let changed = git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
    format!("{commit}{}, {}", if changed { " and changes" } else { "" }, Utc::now().format("%-d %B %Y"))
}

/// How long something took, in milliseconds.
pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
