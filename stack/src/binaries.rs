//! Where the fleet's programs are: built together, they lie beside each other.

use std::{env, path::PathBuf};

use anyhow::{Context as _, bail};

/// The directory of this program and its siblings.
pub fn directory() -> anyhow::Result<PathBuf> {
    let program = env::current_exe().context("cannot tell where this program is")?;
    let directory = program.parent().context("this program is in no directory")?;
    // Cargo puts tests one level deeper.
    let tests = directory.file_name().is_some_and(|name| name == "deps");
    Ok(if tests { directory.parent().unwrap_or(directory) } else { directory }.to_owned())
}

/// The program of this name.
pub fn find(name: &str) -> anyhow::Result<PathBuf> {
    let path = directory()?.join(name);
    if !path.is_file() {
        bail!("{} is missing: build it with `cargo build --workspace`", path.display());
    }
    Ok(path)
}
