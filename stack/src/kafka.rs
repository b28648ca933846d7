//! A broker with Kafka's protocol, for one machine: one node, without replicas, transactions, security and compaction.
//! Topics, records and committed offsets are files, so they outlive the process, also one that is killed. Producers that
//! number their batches have each of them once; a consumer that begins in the middle of a batch gets the rest of it.

mod answers;
mod commits;
mod faults;
mod fetch;
mod files;
mod groups;
mod layout;
mod log;
mod members;
mod numbers;
mod offered;
mod offsets;
mod records;
mod server;
mod tidy;
mod topics;

use std::{
    fs::{self, File},
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kafka_protocol::ResponseError;
use tokio::net::TcpListener;
use uuid::Uuid;

pub use faults::Faults;
use groups::Groups;
use numbers::Numbers;
use offsets::Offsets;
use topics::{Topic, Topics};

use crate::ports;

/// The number of the only node.
const NODE: i32 = 1;

/// A broker. Clones share everything.
#[derive(Debug, Clone)]
pub struct Kafka(Arc<State>);

/// Whoever holds several of these locks at once takes them in this order, and after them that of a partition's log.
#[derive(Debug)]
struct State {
    address: SocketAddr,
    cluster: String,
    groups: Mutex<Groups>,
    topics: Mutex<Topics>,
    offsets: Mutex<Offsets>,
    producers: Mutex<Numbers>,
    epochs: Mutex<Numbers>,
    faults: Mutex<Faults>,
    /// Held for the length of the process.
    _directory: File,
}

impl Kafka {
    /// Opens what is in a directory, or begins there. Clients reach the broker at `address`.
    pub fn open(directory: &Path, address: SocketAddr) -> io::Result<Self> {
        let lock = files::lock(directory)?;
        let topics = Topics::open(&directory.join("topics"))?;
        let mut offsets = Offsets::open(&directory.join("offsets"))?;
        // A topic may have been deleted, and made anew, without them.
        offsets.retain(|key, committed| {
            topics.get(&key.topic).is_some_and(|topic| topic.description.epoch == committed.epoch)
        });
        let cluster = directory.join("cluster");
        if !cluster.exists() {
            files::write_whole(&cluster, Uuid::new_v4().to_string().as_bytes())?;
        }
        Ok(Self(Arc::new(State {
            address,
            cluster: fs::read_to_string(cluster)?,
            groups: Mutex::default(),
            topics: Mutex::new(topics),
            offsets: Mutex::new(offsets),
            producers: Mutex::new(Numbers::open(&directory.join("producers"))?),
            epochs: Mutex::new(Numbers::open(&directory.join("epochs"))?),
            faults: Mutex::default(),
            _directory: lock,
        })))
    }

    /// Opens what is in a directory, and serves it in this process, for a test that wants it to misbehave.
    pub async fn start(directory: &Path) -> io::Result<Self> {
        let listener = TcpListener::bind(ports::loopback(0)).await?;
        let kafka = Self::open(directory, listener.local_addr()?)?;
        let serving = kafka.clone();
        tokio::spawn(async move { serving.serve(listener).await });
        Ok(kafka)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// The topic of a partition, if it has a leader.
    fn topic(&self, name: &str, partition: i32) -> Result<Arc<Topic>, ResponseError> {
        self.check_leader(name, partition)?;
        lock(&self.0.topics).get(name).cloned().ok_or(ResponseError::UnknownTopicOrPartition)
    }
}

/// A time as requests have it. A negative one is none.
fn millis(number: i32) -> Duration {
    Duration::from_millis(number.try_into().unwrap_or_default())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
