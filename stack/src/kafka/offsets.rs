//! The offsets that consumer groups committed, in a journal: a line for each commit.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use kafka_protocol::ResponseError;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::files;

/// When the journal has so many bytes, and more than twice as many as needed, it is written anew.
const MANY_BYTES: u64 = 4 * 1024 * 1024;
/// The offsets of a group without members are forgotten when it commits none for so long, as Kafka does.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Whose offset of what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Key {
    pub group: String,
    pub topic: String,
    pub partition: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Committed {
    pub offset: i64,
    pub metadata: String,
    /// That of the topic. What was committed for an earlier topic of the name says nothing about this one.
    #[serde(default)]
    pub epoch: i32,
}

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
struct Line<Entry> {
    #[serde(rename = "Commit")]
    commit: Entry,
}

#[derive(Debug)]
struct Kept {
    committed: Committed,
    used_at: Instant,
}

#[derive(Debug)]
pub(super) struct Offsets {
    path: PathBuf,
    journal: File,
    /// Of the journal, in bytes: now, and when it was written anew.
    length: u64,
    needed: u64,
    kept: BTreeMap<Key, Kept>,
}

impl Offsets {
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut kept = BTreeMap::new();
        let journal = match fs::read(path) {
            Ok(journal) => journal,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(files::fault(path, error)),
        };
        for (number, line) in journal.split(|byte| *byte == b'\n').enumerate() {
            match serde_json::from_slice(line) {
                Ok(Line { commit: (key, committed) }) => keep(&mut kept, key, committed),
                Err(_) if line.is_empty() => {}
                // The last one may not have been written to its end.
                Err(error) => {
                    let (file, line, bytes) = (path.display(), number + 1, line.len());
                    warn!(%file, line, bytes, %error, "an offset that was committed cannot be read");
                }
            }
        }
        let (journal, length) = write_anew(path, &kept)?;
        Ok(Self { path: path.to_owned(), journal, length, needed: length, kept })
    }

    /// Keeps all of them or none.
    pub fn commit(&mut self, commits: Vec<(Key, Committed)>) -> Result<(), ResponseError> {
        self.write(commits).map_err(files::refusal(&self.path))
    }

    fn write(&mut self, commits: Vec<(Key, Committed)>) -> io::Result<()> {
        let mut text = Vec::new();
        for (key, committed) in &commits {
            write_line(&mut text, key, committed)?;
        }
        files::append(&self.journal, self.length, &text)?;
        self.length += text.len() as u64;
        for (key, committed) in commits {
            keep(&mut self.kept, key, committed);
        }
        if self.length > MANY_BYTES.max(2 * self.needed) {
            self.write_anew();
        }
        Ok(())
    }

    pub fn get(&self, key: &Key) -> Option<&Committed> {
        self.kept.get(key).map(|kept| &kept.committed)
    }

    pub fn all(&self) -> impl Iterator<Item = (&Key, &Committed)> {
        self.kept.iter().map(|(key, kept)| (key, &kept.committed))
    }

    /// Keeps only what is wanted still.
    pub fn retain(&mut self, mut is_wanted: impl FnMut(&Key, &Committed) -> bool) {
        self.keep_only(|key, kept| is_wanted(key, &kept.committed));
    }

    /// Forgets what groups have left that are not among these, which have members.
    pub fn forget_the_unused(&mut self, groups: &HashSet<String>) {
        let now = Instant::now();
        self.keep_only(|key, kept| {
            if groups.contains(&key.group) {
                kept.used_at = now;
            }
            now.duration_since(kept.used_at) < FORGOTTEN_AFTER
        });
    }

    fn keep_only(&mut self, is_wanted: impl FnMut(&Key, &mut Kept) -> bool) {
        let before = self.kept.len();
        self.kept.retain(is_wanted);
        if self.kept.len() < before {
            self.write_anew();
        }
    }

    /// Fails only to save space.
    fn write_anew(&mut self) {
        match write_anew(&self.path, &self.kept) {
            Ok((journal, length)) => (self.journal, self.length, self.needed) = (journal, length, length),
            Err(error) => warn!(file = %self.path.display(), %error, "cannot be written anew"),
        }
    }
}

fn keep(all: &mut BTreeMap<Key, Kept>, key: Key, committed: Committed) {
    all.insert(key, Kept { committed, used_at: Instant::now() });
}

fn write_line(text: &mut Vec<u8>, key: &Key, committed: &Committed) -> io::Result<()> {
    serde_json::to_writer(&mut *text, &Line { commit: (key, committed) })?;
    text.push(b'\n');
    Ok(())
}

/// Writes a journal of what is needed, in place of the one that is there. Returns it with its length.
fn write_anew(path: &Path, kept: &BTreeMap<Key, Kept>) -> io::Result<(File, u64)> {
    let mut text = Vec::new();
    for (key, kept) in kept {
        write_line(&mut text, key, &kept.committed)?;
    }
    files::write_whole(path, &text)?;
    Ok((File::options().read(true).write(true).open(path)?, text.len() as u64))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{io::Write as _, os::unix::fs::FileExt as _};

    use super::*;

    fn key(topic: &str) -> Key {
        Key { group: "читатели".into(), topic: topic.into(), partition: 1 }
    }

    fn committed(offset: i64) -> Committed {
        Committed { offset, metadata: String::new(), epoch: 1 }
    }

    fn open() -> (tempfile::TempDir, PathBuf, Offsets) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("offsets");
        let offsets = Offsets::open(&path).unwrap();
        (directory, path, offsets)
    }

    #[test]
    fn what_was_committed_is_known_after_a_restart_and_what_is_forgotten_is_not() {
        let (_directory, path, mut offsets) = open();
        for (topic, offset) in [("orders", 1), ("gone", 5), ("orders", 2)] {
            offsets.commit(vec![(key(topic), committed(offset))]).unwrap();
        }
        offsets.retain(|key, _| key.topic != "gone");
        for _ in 0..2 {
            let offsets = Offsets::open(&path).unwrap();
            assert_eq!(offsets.all().collect::<Vec<_>>(), [(&key("orders"), &committed(2))]);
        }
    }

    #[test]
    fn a_journal_of_an_earlier_broker_is_read() {
        let (_directory, path, _) = open();
        let line = r#"{"Commit":[{"group":"читатели","topic":"orders","partition":1},{"offset":7,"metadata":""}]}"#;
        fs::write(&path, format!("{line}\n")).unwrap();
        let earlier = Committed { epoch: 0, ..committed(7) };
        assert_eq!(Offsets::open(&path).unwrap().get(&key("orders")), Some(&earlier));
    }

    #[test]
    fn a_journal_that_ends_anywhere_is_read_as_far_as_it_goes() {
        let (_directory, path, mut offsets) = open();
        for offset in 1..=2 {
            offsets.commit(vec![(key("orders"), committed(offset))]).unwrap();
        }
        let whole = fs::read(&path).unwrap();
        let first = whole.iter().position(|byte| *byte == b'\n').unwrap();
        for end in first..whole.len() - 1 {
            fs::write(&path, &whole[..end]).unwrap();
            assert_eq!(Offsets::open(&path).unwrap().get(&key("orders")), Some(&committed(1)), "of {end} bytes");
        }
    }

    #[test]
    fn a_line_that_cannot_be_read_takes_none_of_those_that_follow_along() {
        let (_directory, path, mut offsets) = open();
        fs::File::options().append(true).open(&path).unwrap().write_all(b"{\"Commit\":[\n").unwrap();
        offsets.length = fs::metadata(&path).unwrap().len();
        offsets.commit(vec![(key("orders"), committed(7))]).unwrap();
        assert_eq!(Offsets::open(&path).unwrap().get(&key("orders")), Some(&committed(7)));
    }

    #[test]
    fn a_commit_that_was_not_written_to_its_end_is_in_no_later_ones_way() {
        let (_directory, path, mut offsets) = open();
        offsets.commit(vec![(key("orders"), committed(1))]).unwrap();
        offsets.journal.write_all_at(b"{\"Commit\":[{\"group\":\"", offsets.length).unwrap();
        offsets.commit(vec![(key("orders"), committed(2))]).unwrap();
        offsets.commit(vec![(key("orders"), committed(3))]).unwrap();
        assert_eq!(Offsets::open(&path).unwrap().get(&key("orders")), Some(&committed(3)));
    }

    #[test]
    fn the_journal_does_not_grow_without_end() {
        let (_directory, path, mut offsets) = open();
        let long = |offset| Committed { metadata: "x".repeat(4096), ..committed(offset) };
        for offset in 0..2000 {
            offsets.commit(vec![(key("orders"), long(offset))]).unwrap();
        }
        assert!(fs::metadata(&path).unwrap().len() <= MANY_BYTES);
        assert_eq!(Offsets::open(&path).unwrap().get(&key("orders")), Some(&long(1999)));
    }
}
