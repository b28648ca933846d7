//! The broker's files: each is whole after a kill, or what is not whole can be told and is cut off.

use std::{
    fmt::Display,
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
};

use kafka_protocol::ResponseError;
use tracing::warn;

/// Takes a directory for this process alone, as long as the file is open.
pub(super) fn lock(directory: &Path) -> io::Result<File> {
    fs::create_dir_all(directory)?;
    let file = File::create(directory.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::other("another broker uses it")),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Writes a file that is whole or as it was.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    crate::files::write_whole(path, bytes, 0o644)
}

/// Appends to a file of which so many bytes are whole. What cannot be written to its end leaves nothing behind.
pub(super) fn append(file: &File, length: u64, bytes: &[u8]) -> io::Result<()> {
    let is = file.metadata()?.len();
    if is < length {
        return Err(io::Error::other(format!("the file has {is} bytes where {length} were written")));
    }
    // An earlier failure was not undone.
    if is > length {
        file.set_len(length)?;
    }
    file.write_all_at(bytes, length).inspect_err(|_| {
        let _ = file.set_len(length);
    })
}

/// Cuts off what follows the bytes that are whole, and says so.
pub(super) fn cut(path: &Path, file: &File, length: u64) -> io::Result<()> {
    let cut = file.metadata()?.len().saturating_sub(length);
    if cut > 0 {
        warn!(file = %path.display(), bytes = cut, "what was not written to its end is cut off");
        file.set_len(length)?;
    }
    Ok(())
}

/// An error that says which file it is about.
pub(super) fn fault(path: &Path, error: impl Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

/// What a client is told when something cannot be stored. The cause is told here, once.
pub(super) fn refusal(path: &Path) -> impl FnOnce(io::Error) -> ResponseError {
    move |error| {
        warn!(file = %path.display(), %error, "cannot be read or written");
        ResponseError::KafkaStorageError
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_directory_is_one_brokers_alone() {
        let directory = tempfile::tempdir().unwrap();
        let first = lock(directory.path()).unwrap();
        assert!(lock(directory.path()).unwrap_err().to_string().contains("another broker"));
        drop(first);
        lock(directory.path()).unwrap();
    }

    #[test]
    fn what_an_earlier_failure_has_left_does_not_follow_what_is_appended() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"whole, and a torn end", 0).unwrap();
        append(&file, 5, b".").unwrap();
        let mut bytes = [0; 6];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!((&bytes, file.metadata().unwrap().len()), (b"whole.", 6));
        assert!(append(&file, 7, b"a gap").is_err());
    }
}
