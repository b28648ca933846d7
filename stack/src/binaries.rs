//! Finds the fleet's programs. Cargo builds all of them into one directory, so they are beside this program.

use std::{env, path::PathBuf};

use anyhow::{Context as _, bail};

fn directory() -> anyhow::Result<PathBuf> {
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
