//! The temporary directory of a throw-away cluster. It is removed when its owner ends. If the owner was killed, the
//! next owner of such a directory removes it.

use std::{
    env,
    fs::{self, File, Permissions, TryLockError},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use tempfile::TempDir;

use super::{account::Account, stale};

const PREFIX: &str = "route256-postgres-";

/// The owner keeps this file locked. The system unlocks it when the owner ends, even by a kill.
const LOCK: &str = "owner.lock";

/// The owner of a younger directory may not have locked it yet.
const MIN_AGE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Scratch {
    directory: TempDir,
    _owner: File,
}

impl Scratch {
    /// Removes abandoned directories, and makes one that belongs to the account.
    pub async fn new(account: Option<&Account>) -> anyhow::Result<Self> {
        let parent = parent(account);
        sweep(&parent).await;
        let make = || -> std::io::Result<Self> {
            let closed = Permissions::from_mode(0o700);
            let directory = tempfile::Builder::new().prefix(PREFIX).permissions(closed).tempdir_in(&parent)?;
            let owner = File::create(directory.path().join(LOCK))?;
            owner.lock()?;
            account.map_or(Ok(()), |account| account.give(directory.path()))?;
            Ok(Self { directory, _owner: owner })
        };
        make().with_context(|| format!("cannot make a directory in {}", parent.display()))
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// The directory for temporary files, or another one if the account cannot enter it.
fn parent(account: Option<&Account>) -> PathBuf {
    let usual = env::temp_dir();
    match account {
        Some(account) if !account.can_enter(&usual) => PathBuf::from("/var/tmp"),
        Some(_) | None => usual.canonicalize().unwrap_or(usual),
    }
}

/// Removes the directories of killed owners. One that cannot be removed belongs to somebody else, and stays.
async fn sweep(parent: &Path) {
    let Ok(entries) = parent.read_dir() else { return };
    for directory in entries.flatten().map(|entry| entry.path()) {
        let ours = directory.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        if ours && is_abandoned(&directory).unwrap_or(false) {
            let _ = stale::stop(&directory.join("data"), &mut |_| ()).await;
            let _ = fs::remove_dir_all(&directory);
        }
    }
}

fn is_abandoned(directory: &Path) -> std::io::Result<bool> {
    let lock = File::open(directory.join(LOCK))?;
    // A directory of another account is never removed.
    let ours = lock.metadata()?.uid() == rustix::process::geteuid().as_raw();
    let young = lock.metadata()?.modified()?.elapsed().is_ok_and(|age| age < MIN_AGE);
    Ok(ours && !young && !matches!(lock.try_lock(), Err(TryLockError::WouldBlock | TryLockError::Error(_))))
}
