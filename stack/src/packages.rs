//! Finds programs of this machine, or installs their Debian packages if that is possible without asking the user.

use std::{
    env,
    ffi::OsStr,
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use crate::{Say, terminal};

/// Packages install programs here, and not every search path has all of these directories.
const USUAL_PLACES: [&str; 5] = ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/opt/homebrew/bin", "/snap/bin"];

/// Finds a program, or installs its Debian package first. `how` tells people how to get the program by hand.
pub fn program(name: &str, package: &str, how: &str) -> anyhow::Result<PathBuf> {
    install_if_missing(package, || find(name).is_some(), how, &mut |line| terminal::print_error(line))?;
    find(name).with_context(|| format!("{name} is missing: {how}"))
}

/// Finds a program on the search path.
pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    first_of(env::split_paths(&env::var_os("PATH")?), program)
}

/// Finds a program on the search path, or else in the usual places.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    in_path(program).or_else(|| first_of(USUAL_PLACES.into_iter().map(PathBuf::from), program))
}

fn first_of(mut directories: impl Iterator<Item = PathBuf>, program: &str) -> Option<PathBuf> {
    directories.find_map(|directory| Some(directory.join(program)).filter(|path| path.is_file()))
}

/// Installs a package unless `is_there`. Does nothing unless this is root on a system with `apt-get`. If the
/// installation fails, the error ends with `how`, which tells people how to do it by hand.
pub(crate) fn install_if_missing(
    package: &str,
    is_there: impl Fn() -> bool,
    how: &str,
    say: Say<'_>,
) -> anyhow::Result<()> {
    if is_there() || !rustix::process::geteuid().is_root() || in_path("apt-get").is_none() {
        return Ok(());
    }
    // Another process may install the same package now. `apt-get` itself would fail and not wait for it.
    let _lock = lock(Path::new("/run/route256-apt-get.lock"))?;
    if is_there() {
        return Ok(());
    }
    say(&format!("installing {package} with apt-get"));
    apt_get(["update"], how)?;
    apt_get(["install", "--yes", "--no-install-recommends", package], how)
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
        // With this, packages do not start their own services: the fleet runs the programs itself.
        .env("RUNLEVEL", "1")
        .output()
        .context("cannot run apt-get")?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("apt-get {} failed ({}); {how}", arguments.join(" "), error.trim());
    }
    Ok(())
}
