//! Programs of the machine: found on the search path or in the usual places, and installed from Debian's packages
//! where that needs no question.

use std::{
    env,
    ffi::OsStr,
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

/// Where programs are that their makers' packages do not put on every search path.
const USUAL_PLACES: [&str; 5] = ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/opt/homebrew/bin", "/snap/bin"];

/// A program of the machine; the Debian package that brings it is installed first where that needs no question. `how`
/// is a sentence that tells people how to get it.
pub fn program(name: &str, package: &str, how: &str) -> anyhow::Result<PathBuf> {
    install_if_missing(package, || find(name).is_some(), how, &mut |line| eprintln!("{line}"))?;
    find(name).with_context(|| format!("{name} is missing: {how}"))
}

/// Where a program of the search path is.
pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    first_of(env::split_paths(&env::var_os("PATH")?), program)
}

/// Where a program of the search path, or else of the usual places, is.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    in_path(program).or_else(|| first_of(USUAL_PLACES.into_iter().map(PathBuf::from), program))
}

fn first_of(mut directories: impl Iterator<Item = PathBuf>, program: &str) -> Option<PathBuf> {
    directories.find_map(|directory| Some(directory.join(program)).filter(|path| path.is_file()))
}

/// Installs a package unless what it brings `is_there`, where this is root and the system has `apt-get`; elsewhere it
/// does nothing. `how` is told to whoever has to do it when that fails.
pub(crate) fn install_if_missing(
    package: &str,
    is_there: impl Fn() -> bool,
    how: &str,
    say: &mut (dyn FnMut(&str) + Send),
) -> anyhow::Result<()> {
    if is_there() || !rustix::process::geteuid().is_root() || in_path("apt-get").is_none() {
        return Ok(());
    }
    // Another process may be about to do the same: `apt-get` itself would refuse rather than wait.
    let lock = lock(Path::new("/run/route256-apt-get.lock"))?;
    if is_there() {
        return Ok(());
    }
    say(&format!("installing {package} with apt-get"));
    apt_get(["update"], how)?;
    apt_get(["install", "--yes", "--no-install-recommends", package], how)?;
    drop(lock);
    Ok(())
}

fn lock(path: &Path) -> anyhow::Result<File> {
    let lock = File::options().create(true).append(true).open(path);
    let lock = lock.with_context(|| format!("cannot open {}", path.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(lock)
}

fn apt_get<const N: usize>(arguments: [&str; N], how: &str) -> anyhow::Result<()> {
    let output = Command::new("apt-get")
        .args(arguments.map(OsStr::new))
        .env("DEBIAN_FRONTEND", "noninteractive")
        // What the package would start by itself is not wanted: the fleet has processes of its own.
        .env("RUNLEVEL", "1")
        .output()
        .context("cannot run apt-get")?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("apt-get {} failed ({}); {how}", arguments.join(" "), error.trim());
    }
    Ok(())
}
