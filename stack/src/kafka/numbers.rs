//! Numbers of which none is ever given twice, also after a kill: those of producers, and the epochs of topics.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use kafka_protocol::ResponseError;

use super::files;

/// Numbers that are taken at once, so that few are written down.
const TAKEN: i32 = 1000;

#[derive(Debug)]
pub(super) struct Numbers {
    path: PathBuf,
    /// The latest that was given.
    latest: i32,
    /// Up to this, numbers may have been given.
    taken: i32,
}

impl Numbers {
    pub fn open(path: &Path) -> io::Result<Self> {
        let taken = match fs::read_to_string(path) {
            Ok(text) => text.trim().parse().map_err(|error| files::fault(path, error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(files::fault(path, error)),
        };
        Ok(Self { path: path.to_owned(), latest: taken, taken })
    }

    /// Begins with 1.
    pub fn next(&mut self) -> Result<i32, ResponseError> {
        if self.latest == self.taken {
            self.take().map_err(files::refusal(&self.path))?;
        }
        self.latest += 1;
        Ok(self.latest)
    }

    fn take(&mut self) -> io::Result<()> {
        let taken = self.taken.checked_add(TAKEN).ok_or_else(|| io::Error::other("all numbers are given"))?;
        files::write_whole(&self.path, taken.to_string().as_bytes())?;
        self.taken = taken;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn no_number_is_given_twice_also_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("producers");
        let mut given = Vec::new();
        for _ in 0..3 {
            let mut numbers = Numbers::open(&path).unwrap();
            given.extend((0..=TAKEN).map(|_| numbers.next().unwrap()));
        }
        assert!(given.is_sorted_by(|one, next| one < next));
    }
}
