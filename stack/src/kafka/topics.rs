//! The topics: each is a directory with a description and a log for each partition.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kafka_protocol::ResponseError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::log::Log;

const DESCRIPTION: &str = "topic.json";
/// What Kafka takes by default.
const MAX_MESSAGE_BYTES: usize = 1_048_588;
const MOST_PARTITIONS: u32 = 1000;
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
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Description {
    pub id: Uuid,
    pub partitions: u32,
    /// The largest batch, in bytes.
    pub max_message_bytes: usize,
}

impl Description {
    /// `None` as elsewhere in Kafka: as the broker likes.
    pub fn new(partitions: Option<u32>, max_message_bytes: Option<usize>) -> Result<Self, ResponseError> {
        let partitions = partitions.unwrap_or(1);
        if !(1..=MOST_PARTITIONS).contains(&partitions) {
            return Err(ResponseError::InvalidPartitions);
        }
        let max_message_bytes = max_message_bytes.unwrap_or(MAX_MESSAGE_BYTES);
        Ok(Self { id: Uuid::new_v4(), partitions, max_message_bytes })
    }
}

impl Topic {
    /// `None` if there are fewer partitions.
    pub fn partition(&self, number: i32) -> Option<MutexGuard<'_, Log>> {
        let log = self.partitions.get(usize::try_from(number).ok()?)?;
        Some(log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn open(directory: &Path) -> io::Result<Self> {
        let description: Description = serde_json::from_slice(&fs::read(directory.join(DESCRIPTION))?)?;
        let open = |number| Ok(Mutex::new(Log::open(&directory.join(format!("{number}.log")))?));
        let partitions = (0..description.partitions).map(open).collect::<io::Result<_>>()?;
        Ok(Self { description, partitions })
    }
}

impl Topics {
    /// Opens the topics of a directory.
    pub fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let mut topics = BTreeMap::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            // A topic whose creation or deletion did not come to its end has another name, or no description.
            if is_name(&name) && path.join(DESCRIPTION).exists() {
                topics.insert(name, Arc::new(Topic::open(&path)?));
            } else {
                fs::remove_dir_all(&path)?;
            }
        }
        Ok(Self { directory: directory.to_owned(), topics })
    }

    pub fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.get(name).cloned()
    }

    pub fn all(&self) -> impl Iterator<Item = (&String, &Arc<Topic>)> {
        self.topics.iter()
    }

    pub fn check(&self, name: &str) -> Result<(), ResponseError> {
        if !is_name(name) {
            return Err(ResponseError::InvalidTopicException);
        }
        if self.topics.contains_key(name) { Err(ResponseError::TopicAlreadyExists) } else { Ok(()) }
    }

    pub fn create(&mut self, name: &str, description: &Description) -> Result<(), ResponseError> {
        self.check(name)?;
        let create = || {
            let path = self.directory.join(name);
            fs::create_dir(&path)?;
            // Renamed when it is whole.
            let (part, whole) = (path.join("part"), path.join(DESCRIPTION));
            fs::write(&part, serde_json::to_vec(description)?)?;
            fs::rename(&part, &whole)?;
            Topic::open(&path)
        };
        let topic: io::Result<Topic> = create();
        self.topics.insert(name.to_owned(), Arc::new(topic.map_err(|_| ResponseError::KafkaStorageError)?));
        Ok(())
    }

    pub fn delete(&mut self, name: &str) -> Result<(), ResponseError> {
        let topic = self.topics.remove(name).ok_or(ResponseError::UnknownTopicOrPartition)?;
        // No topic has this name. What cannot be removed now goes at the next start.
        let deleted = self.directory.join(format!("deleted {}", topic.description.id));
        fs::rename(self.directory.join(name), &deleted).map_err(|_| ResponseError::KafkaStorageError)?;
        let _ = fs::remove_dir_all(deleted);
        Ok(())
    }
}

fn is_name(name: &str) -> bool {
    let is_char = |char: char| char.is_ascii_alphanumeric() || "._-".contains(char);
    (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(is_char) && ![".", ".."].contains(&name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn topics_are_there_again_after_a_restart_and_deleted_ones_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let mut topics = Topics::open(directory.path()).unwrap();
        for name in ["orders", "orders.dlq"] {
            topics.create(name, &Description::new(Some(3), None).unwrap()).unwrap();
        }
        assert_eq!(
            topics.create("orders", &Description::new(None, None).unwrap()),
            Err(ResponseError::TopicAlreadyExists)
        );
        topics.delete("orders.dlq").unwrap();
        assert_eq!(topics.delete("orders.dlq"), Err(ResponseError::UnknownTopicOrPartition));
        let id = topics.get("orders").unwrap().description.id;
        // A creation that did not come to its end.
        fs::create_dir(directory.path().join("half")).unwrap();

        let topics = Topics::open(directory.path()).unwrap();
        assert_eq!(topics.all().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["orders"]);
        assert_eq!(topics.get("orders").unwrap().description.id, id);
        assert!(
            topics.get("orders").unwrap().partition(2).is_some()
                && topics.get("orders").unwrap().partition(3).is_none()
        );
    }

    #[test]
    fn names_that_are_no_names_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut topics = Topics::open(directory.path()).unwrap();
        for name in ["", ".", "..", "a/b", "ä", "deleted 1", &"x".repeat(250)] {
            let created = topics.create(name, &Description::new(None, None).unwrap());
            assert_eq!(created, Err(ResponseError::InvalidTopicException), "{name}");
        }
        assert!(Description::new(Some(0), None).is_err() && Description::new(Some(1001), None).is_err());
    }
}
