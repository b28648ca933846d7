//! Chooses the directory of a durable cluster. It is in the state directory if Postgres's account can enter that. If
//! not, as below root's home, it is below `/var/tmp`, and the state directory has a link to it.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use super::{account::Account, stale};
use crate::Say;

/// Makes sure that `wanted` is a directory of the account, or a link to one. Returns the directory.
pub(super) async fn prepare(wanted: &Path, account: Option<&Account>, say: Say<'_>) -> anyhow::Result<PathBuf> {
    let state = wanted.parent().context("the state directory has no name")?;
    let make = |directory: &Path| {
        make(directory, account).with_context(|| format!("cannot make the directory {}", directory.display()))
    };
    if let Ok(existing) = wanted.canonicalize() {
        if account.is_some_and(|account| !account.can_enter(&existing)) {
            bail!("{} was made by another account or has moved; begin anew with `make clean`", existing.display());
        }
        return Ok(existing);
    }
    let Some(account) = account.filter(|account| !account.can_enter(state)) else {
        // There may be a link whose target was deleted.
        let _ = fs::remove_file(wanted);
        make(wanted)?;
        return Ok(wanted.canonicalize()?);
    };
    let elsewhere = elsewhere(state)?;
    say(&format!(
        "the account {} cannot enter {}, so the data goes to {}",
        account.name(),
        state.display(),
        elsewhere.display()
    ));
    if fs::symlink_metadata(&elsewhere).is_ok() {
        if !account.owns(&elsewhere) {
            bail!("{} is in the way: it belongs to somebody else", elsewhere.display());
        }
        // It is left over from a state directory that was at this path and was deleted.
        stale::stop(&elsewhere.join("data"), say).await?;
        fs::remove_dir_all(&elsewhere).with_context(|| format!("cannot remove {}", elsewhere.display()))?;
    }
    make(&elsewhere)?;
    let _ = fs::remove_file(wanted);
    symlink(&elsewhere, wanted).with_context(|| format!("cannot link {}", wanted.display()))?;
    Ok(elsewhere)
}

fn make(directory: &Path, account: Option<&Account>) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(directory)?;
    account.map_or(Ok(()), |account| account.give(directory))
}

/// A path that no other state directory has.
fn elsewhere(state: &Path) -> io::Result<PathBuf> {
    let state = state.canonicalize()?;
    Ok(Path::new("/var/tmp").join(format!("route256-{:016x}", fnv1a(state.as_os_str().as_encoded_bytes()))))
}

/// The hash FNV-1a. Unlike the standard library's hash, it is the same in every build.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
