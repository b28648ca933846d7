//! Writes files that other processes may read at the same time.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::Context as _;

/// Replaces a file as a whole: a reader sees either the old text or the new text.
pub(crate) fn replace(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    write_whole(path, text.as_bytes(), mode).with_context(|| format!("cannot write {}", path.display()))
}

/// Like [`replace`], for who says itself which file cannot be written.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let new = path.with_extension("new");
    // An interrupted writer may have left this file. A file made anew has the right mode from the start.
    let _ = fs::remove_file(&new);
    File::options().write(true).create_new(true).mode(mode).open(&new)?.write_all(bytes)?;
    fs::rename(&new, path)
}

/// Like [`replace`], but only the owner can read the file.
pub(crate) fn replace_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    replace(path, text, 0o600)
}
