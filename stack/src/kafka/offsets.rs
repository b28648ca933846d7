//! The offsets that consumer groups committed, in a journal: a line for each commit.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// When there are so many lines, and more than twice as many as needed, the journal is written anew.
const MANY_LINES: usize = 50_000;

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
}

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
enum Line {
    Commit(Key, Committed),
    /// All that was committed for a topic is forgotten.
    Forget {
        topic: String,
    },
}

#[derive(Debug)]
pub(super) struct Offsets {
    path: PathBuf,
    journal: File,
    lines: usize,
    committed: BTreeMap<Key, Committed>,
}

impl Offsets {
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut committed = BTreeMap::new();
        match File::open(path) {
            Ok(file) => {
                for line in BufReader::new(file).lines() {
                    // The last one may not have been written to its end.
                    let Ok(line) = serde_json::from_str(&line?) else { break };
                    apply(&mut committed, line);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let journal = write_anew(path, &committed)?;
        Ok(Self { path: path.to_owned(), journal, lines: committed.len(), committed })
    }

    pub fn commit(&mut self, key: Key, committed: Committed) -> io::Result<()> {
        self.write(Line::Commit(key, committed))
    }

    pub fn forget(&mut self, topic: &str) -> io::Result<()> {
        self.write(Line::Forget { topic: topic.to_owned() })
    }

    pub fn get(&self, key: &Key) -> Option<&Committed> {
        self.committed.get(key)
    }

    pub fn of_group<'a>(&'a self, group: &'a str) -> impl Iterator<Item = (&'a Key, &'a Committed)> {
        self.committed.iter().filter(move |(key, _)| key.group == group)
    }

    fn write(&mut self, line: Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        self.journal.write_all(&text)?;
        self.lines += 1;
        apply(&mut self.committed, line);
        if self.lines > MANY_LINES.max(2 * self.committed.len()) {
            self.journal = write_anew(&self.path, &self.committed)?;
            self.lines = self.committed.len();
        }
        Ok(())
    }
}

fn apply(all: &mut BTreeMap<Key, Committed>, line: Line) {
    match line {
        Line::Commit(key, committed) => {
            all.insert(key, committed);
        }
        Line::Forget { topic } => all.retain(|key, _| key.topic != topic),
    }
}

/// Writes a journal of what is needed, in place of the one that is there.
fn write_anew(path: &Path, committed: &BTreeMap<Key, Committed>) -> io::Result<File> {
    let part = path.with_extension("part");
    let mut journal = File::create(&part)?;
    let mut text = Vec::new();
    for (key, committed) in committed {
        serde_json::to_writer(&mut text, &Line::Commit(key.clone(), committed.clone()))?;
        text.push(b'\n');
    }
    journal.write_all(&text)?;
    fs::rename(part, path)?;
    Ok(journal)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs::OpenOptions;

    use super::*;

    fn key(topic: &str) -> Key {
        Key { group: "readers".into(), topic: topic.into(), partition: 1 }
    }

    fn committed(offset: i64) -> Committed {
        Committed { offset, metadata: String::new() }
    }

    #[test]
    fn what_was_committed_is_known_after_a_restart_and_what_is_forgotten_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("offsets");
        let mut offsets = Offsets::open(&path).unwrap();
        for (topic, offset) in [("orders", 1), ("gone", 5), ("orders", 2)] {
            offsets.commit(key(topic), committed(offset)).unwrap();
        }
        offsets.forget("gone").unwrap();
        // The last line of a process that was killed.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"Commit\":[").unwrap();

        for _ in 0..2 {
            let offsets = Offsets::open(&path).unwrap();
            assert_eq!(offsets.get(&key("orders")), Some(&committed(2)));
            assert_eq!(offsets.of_group("readers").count(), 1);
            assert_eq!(offsets.of_group("others").count(), 0);
        }
    }

    #[test]
    fn the_journal_does_not_grow_without_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("offsets");
        let mut offsets = Offsets::open(&path).unwrap();
        for offset in 0..=i64::try_from(MANY_LINES).unwrap() {
            offsets.commit(key("orders"), committed(offset)).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
        offsets.commit(key("orders"), committed(7)).unwrap();
        assert_eq!(Offsets::open(&path).unwrap().get(&key("orders")), Some(&committed(7)));
    }
}
