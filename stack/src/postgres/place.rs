//! Where a lasting cluster lives. Beside the rest of the state if the account can get there, else in a directory
//! below `/var/tmp` with a link to it: a checkout below root's home is closed to every other account.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use super::{account::Account, stale};

/// Makes sure that the directory exists and is the account's, or is a link to one that is; answers where it is.
pub(super) async fn prepare(
    wanted: &Path,
    account: Option<&Account>,
    say: &mut (dyn FnMut(&str) + Send),
) -> anyhow::Result<PathBuf> {
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
        // A link whose directory was deleted.
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
        // Of a state directory that was at this path before and was deleted.
        stale::stop(&elsewhere.join("data"), say).await?;
        fs::remove_dir_all(&elsewhere)?;
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

/// A path that is this state directory's alone.
fn elsewhere(state: &Path) -> io::Result<PathBuf> {
    let state = state.canonicalize()?;
    Ok(Path::new("/var/tmp").join(format!("route256-{:016x}", fnv1a(state.as_os_str().as_encoded_bytes()))))
}

/// FNV-1a: the same on every build, unlike the standard library's hasher.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
