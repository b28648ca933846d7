//! The topics: each is a directory with a description, and files for each partition.

mod settings;

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use kafka_protocol::ResponseError;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::warn;
use uuid::Uuid;

use super::{
    files, lock,
    log::{self, Log},
};
pub(super) use settings::Settings;

const DESCRIPTION: &str = "topic.json";
/// What the names of directories begin with that are not topics yet, or no more. No topic has such a name.
const NEW: &str = "new ";
const DELETED: &str = "deleted ";
/// Of a topic, and of all topics together.
const MOST_PARTITIONS: u32 = 1000;
pub(super) const MOST_IN_ALL: u32 = 50_000;
const LONGEST_NAME: usize = 249;

#[derive(Debug)]
pub(super) struct Topics {
    directory: PathBuf,
    topics: BTreeMap<String, Arc<Topic>>,
}

#[derive(Debug)]
pub(super) struct Topic {
    pub description: Description,
    partitions: Vec<Mutex<Log>>,
    is_deleted: AtomicBool,
    /// Told when there are more records, when it is deleted, and when the broker does other things wrong than before.
    pub changed: watch::Sender<()>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Description {
    pub id: Uuid,
    /// Tells this topic from earlier ones of its name, which have lower epochs: as if those had had another leader.
    #[serde(default)]
    pub epoch: i32,
    pub partitions: u32,
    #[serde(flatten)]
    pub settings: Settings,
}

impl Topic {
    /// Refuses if there are fewer partitions.
    pub fn partition(&self, number: i32) -> Result<MutexGuard<'_, Log>, ResponseError> {
        let log = usize::try_from(number).ok().and_then(|number| self.partitions.get(number));
        let log = lock(log.ok_or(ResponseError::UnknownTopicOrPartition)?);
        // Its files may be those of another topic by now.
        if self.is_deleted.load(Ordering::Relaxed) { Err(ResponseError::UnknownTopicOrPartition) } else { Ok(log) }
    }

    pub fn partitions(&self) -> impl Iterator<Item = i32> {
        (0..self.description.partitions).map(u32::cast_signed)
    }

    /// Whether a client that knows this epoch speaks of this topic. -1 is that of a client that does not know.
    pub fn check_epoch(&self, epoch: i32) -> Result<(), ResponseError> {
        match epoch {
            -1 => Ok(()),
            old if old < self.description.epoch => Err(ResponseError::FencedLeaderEpoch),
            new if new > self.description.epoch => Err(ResponseError::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }

    fn open(directory: &Path) -> io::Result<Self> {
        let description = serde_json::from_slice(&fs::read(directory.join(DESCRIPTION))?)?;
        let mut bases: HashMap<u32, Vec<i64>> = HashMap::new();
        for entry in fs::read_dir(directory)? {
            if let Some((partition, base)) = entry?.file_name().to_str().and_then(log::parse) {
                bases.entry(partition).or_default().push(base);
            }
        }
        Self::with(directory, description, bases)
    }

    /// A topic with files that begin with these offsets, by partition.
    fn with(directory: &Path, description: Description, mut bases: HashMap<u32, Vec<i64>>) -> io::Result<Self> {
        let open = |number| {
            let bases = bases.remove(&number).unwrap_or_default();
            Log::open(directory, number, description.epoch, bases).map(Mutex::new)
        };
        let partitions = (0..description.partitions).map(open).collect::<io::Result<_>>()?;
        Ok(Self { description, partitions, is_deleted: AtomicBool::new(false), changed: watch::Sender::new(()) })
    }

    /// Waits for those who work with it, and lets nobody do so any more.
    fn end(&self) {
        self.is_deleted.store(true, Ordering::Relaxed);
        for partition in &self.partitions {
            drop(lock(partition));
        }
        self.changed.send_replace(());
    }
}

impl Topics {
    /// Opens the topics of a directory. What else is there stays as it is.
    pub fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let mut topics = BTreeMap::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if name.starts_with(NEW) || name.starts_with(DELETED) {
                // Its creation or deletion did not come to its end.
                fs::remove_dir_all(&path).map_err(|error| files::fault(&path, error))?;
            } else if is_name(&name) && path.join(DESCRIPTION).exists() {
                let topic = Topic::open(&path).map_err(|error| files::fault(&path, error))?;
                topics.insert(name, Arc::new(topic));
            } else {
                warn!(file = %path.display(), "this is no topic");
            }
        }
        Ok(Self { directory: directory.to_owned(), topics })
    }

    pub fn get(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    /// A topic by its id, with its name.
    pub fn named(&self, id: Uuid) -> Option<(&String, &Arc<Topic>)> {
        self.topics.iter().find(|(_, topic)| topic.description.id == id)
    }

    pub fn all(&self) -> impl Iterator<Item = (&String, &Arc<Topic>)> {
        self.topics.iter()
    }

    /// Describes a topic that can be created. Without a number of partitions it has as many as the broker likes.
    pub fn check(&self, name: &str, partitions: Option<u32>, settings: Settings) -> Result<Description, ResponseError> {
        if !is_name(name) {
            return Err(ResponseError::InvalidTopicException);
        }
        if self.topics.contains_key(name) {
            return Err(ResponseError::TopicAlreadyExists);
        }
        let partitions = partitions.unwrap_or(1);
        let others: u32 = self.topics.values().map(|topic| topic.description.partitions).sum();
        if !(1..=MOST_PARTITIONS).contains(&partitions) || others + partitions > MOST_IN_ALL {
            return Err(ResponseError::InvalidPartitions);
        }
        Ok(Description { id: Uuid::new_v4(), epoch: 0, partitions, settings })
    }

    /// Creates a topic as [`check`](Self::check) has described it.
    pub fn create(&mut self, name: &str, description: Description) -> Result<(), ResponseError> {
        let (new, path) = (self.directory.join(format!("{NEW}{}", description.id)), self.directory.join(name));
        let create = || {
            fs::create_dir(&new)?;
            fs::write(new.join(DESCRIPTION), serde_json::to_vec(&description)?)?;
            fs::rename(&new, &path)?;
            // There is nothing to open yet, and so nothing that fails.
            Topic::with(&path, description, HashMap::new())
        };
        let topic = create().inspect_err(|_| {
            let _ = fs::remove_dir_all(&new);
        });
        self.topics.insert(name.to_owned(), Arc::new(topic.map_err(files::refusal(&path))?));
        Ok(())
    }

    pub fn delete(&mut self, name: &str) -> Result<(), ResponseError> {
        let topic = self.get(name).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let path = self.directory.join(name);
        let deleted = self.directory.join(format!("{DELETED}{}", topic.description.id));
        fs::rename(&path, &deleted).map_err(files::refusal(&path))?;
        topic.end();
        self.topics.remove(name);
        // What cannot be removed now goes at the next start.
        let _ = fs::remove_dir_all(deleted);
        Ok(())
    }
}

fn is_name(name: &str) -> bool {
    let is_char = |char: char| char.is_ascii_alphanumeric() || "._-".contains(char);
    (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(is_char) && ![".", ".."].contains(&name)
}

#[cfg(test)]
mod tests;
