//! Finds the fleet's programs. Cargo builds all of them into one directory, so they are beside this program, unless those
//! of another build are asked for.

use std::{
    env,
    path::PathBuf,
    sync::{PoisonError, RwLock},
};

use anyhow::{Context as _, bail};

/// Where the programs of another build are.
static OTHER_BUILD: RwLock<Option<PathBuf>> = RwLock::new(None);

/// From now on, the programs are those in this directory; with `None`, those beside this program.
pub fn take_from(directory: Option<PathBuf>) {
    *OTHER_BUILD.write().unwrap_or_else(PoisonError::into_inner) = directory;
}

fn directory() -> anyhow::Result<PathBuf> {
    if let Some(other) = OTHER_BUILD.read().unwrap_or_else(PoisonError::into_inner).clone() {
        return Ok(other);
    }
    let program = env::current_exe().context("cannot tell where this program is")?;
    let directory = program.parent().context("this program is in no directory")?;
    // Cargo puts the programs of tests one level deeper.
    let is_test = directory.file_name().is_some_and(|name| name == "deps");
    Ok(if is_test { directory.parent().unwrap_or(directory) } else { directory }.to_owned())
}

pub fn find(name: &str) -> anyhow::Result<PathBuf> {
    let path = directory()?.join(name);
    if !path.is_file() {
        bail!("{} is missing: build it with `cargo build --workspace`", path.display());
    }
    Ok(path)
}
