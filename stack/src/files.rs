//! Files that others may be reading while they are written.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::Context as _;

/// Replaces a file as a whole: a reader sees the old text or the new one.
pub(crate) fn replace(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    let write = || {
        // Of a writer that was interrupted. A new file has the mode from its first moment.
        let _ = fs::remove_file(&new);
        File::options().write(true).create_new(true).mode(mode).open(&new)?.write_all(text.as_bytes())?;
        fs::rename(&new, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// As [`replace`], and nobody but its owner can read it.
pub(crate) fn replace_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    replace(path, text, 0o600)
}
