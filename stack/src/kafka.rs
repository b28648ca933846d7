//! A broker with Kafka's protocol, for one machine: one node, without replicas, transactions, security and compaction.
//! Topics, records and committed offsets are files, so they outlive the process, also one that is killed. Producers that
//! number their batches have each of them once; a consumer that begins in the middle of a batch gets the rest of it.

mod answers;
mod faults;
mod groups;
mod log;
mod members;
mod offsets;
mod records;
mod topics;

use std::{
    convert::Infallible,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use kafka_protocol::{
    messages::{ApiKey, RequestKind, ResponseHeader},
    protocol::{Encodable as _, buf::ByteBuf as _, decode_request_header_from_buffer},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tracing::{debug, warn};
use uuid::Uuid;

pub use faults::Faults;
use groups::Groups;
use offsets::Offsets;
use topics::Topics;

use crate::ports;

/// The number of the only node.
const NODE: i32 = 1;
/// A larger request ends its connection.
const MOST_BYTES: usize = 100 * 1024 * 1024;
/// How often members are looked for that have left without a word.
const SWEEP: Duration = Duration::from_millis(100);
/// Producers' numbers that are taken at once, so that few are written down.
const PRODUCERS: i64 = 1000;

/// A broker. Clones share everything.
#[derive(Debug, Clone)]
pub struct Kafka(Arc<State>);

#[derive(Debug)]
struct State {
    address: SocketAddr,
    cluster: String,
    topics: Mutex<Topics>,
    offsets: Mutex<Offsets>,
    groups: Mutex<Groups>,
    producers: Mutex<Producers>,
    faults: Mutex<Faults>,
    /// Told when there are more records, or other topics.
    changed: watch::Sender<()>,
}

/// Numbers for producers: none is ever given twice.
#[derive(Debug)]
struct Producers {
    path: PathBuf,
    next: i64,
    /// Below this, numbers may have been given.
    taken: i64,
}

impl Producers {
    fn open(path: &Path) -> io::Result<Self> {
        let next = match fs::read_to_string(path) {
            Ok(text) => text.trim().parse().map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.to_owned(), next, taken: next })
    }

    fn next(&mut self) -> io::Result<i64> {
        if self.next == self.taken {
            write_whole(&self.path, &(self.taken + PRODUCERS).to_string())?;
            self.taken += PRODUCERS;
        }
        self.next += 1;
        Ok(self.next - 1)
    }
}

/// Writes a file that is whole or as it was.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let part = path.with_extension("part");
    fs::write(&part, text)?;
    fs::rename(part, path)
}

impl Kafka {
    /// Opens what is in a directory, or begins there. Clients reach the broker at `address`.
    pub fn open(directory: &Path, address: SocketAddr) -> io::Result<Self> {
        let topics = Topics::open(&directory.join("topics"))?;
        let cluster = directory.join("cluster");
        if !cluster.exists() {
            write_whole(&cluster, &Uuid::new_v4().to_string())?;
        }
        Ok(Self(Arc::new(State {
            address,
            cluster: fs::read_to_string(cluster)?,
            topics: Mutex::new(topics),
            offsets: Mutex::new(Offsets::open(&directory.join("offsets"))?),
            groups: Mutex::default(),
            producers: Mutex::new(Producers::open(&directory.join("producers"))?),
            faults: Mutex::default(),
            changed: watch::Sender::new(()),
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

    /// Serves until the future is dropped, which cuts all connections.
    pub async fn serve(&self, listener: TcpListener) -> Infallible {
        let (mut connections, mut sweeps) = (JoinSet::new(), tokio::time::interval(SWEEP));
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, peer) = match accepted {
                        Ok(accepted) => accepted,
                        Err(error) => {
                            // Such as too many open files: those that are there go on.
                            warn!(%error, "a client cannot connect");
                            tokio::time::sleep(SWEEP).await;
                            continue;
                        }
                    };
                    let kafka = self.clone();
                    connections.spawn(async move {
                        match kafka.talk(stream).await {
                            Err(error) if error.is::<io::Error>() => debug!(%peer, %error, "a connection broke"),
                            Err(error) => warn!(%peer, error = format!("{error:#}"), "a client cannot be answered"),
                            Ok(()) => {}
                        }
                    });
                }
                _ = connections.join_next(), if !connections.is_empty() => {}
                _ = sweeps.tick() => lock(&self.0.groups).sweep(),
            }
        }
    }

    /// Answers the requests of a connection, one after the other.
    async fn talk(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let peer = stream.peer_addr()?;
        loop {
            let length = match stream.read_u32().await {
                Ok(length) => usize::try_from(length)?,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            ensure!((8..=MOST_BYTES).contains(&length), "a request of {length} bytes");
            let mut request = BytesMut::zeroed(length);
            stream.read_exact(&mut request).await?;
            let answered = self.answer(request.freeze());
            let answer = {
                let mut answered = std::pin::pin!(answered);
                let mut byte = [0];
                tokio::select! {
                    answer = &mut answered => answer?,
                    // Whoever hangs up waits no longer. A client may send its next request, though.
                    gone = hung_up(&stream, &mut byte) => {
                        if gone {
                            debug!(%peer, "a client hung up while it waited");
                            return Ok(());
                        }
                        answered.await?
                    }
                }
            };
            if let Some(answer) = answer {
                stream.write_all(&answer).await?;
            }
        }
    }

    /// Returns the answer with its length; `None` for a request that wants none.
    async fn answer(&self, mut request: Bytes) -> anyhow::Result<Option<Bytes>> {
        let (key, version) = {
            let mut start = request.try_peek_bytes(0..4)?;
            (bytes::Buf::get_i16(&mut start), bytes::Buf::get_i16(&mut start))
        };
        let api = ApiKey::try_from(key).ok().with_context(|| format!("no request has the key {key}"))?;
        let (answer, version, correlation) = if api == ApiKey::ApiVersions && version > answers::API_VERSIONS {
            // A newer client learns what there is, in the oldest form.
            let correlation = bytes::Buf::get_i32(&mut request.try_peek_bytes(4..8)?);
            (Some(answers::unsupported_api_versions()), 0, correlation)
        } else {
            ensure!(answers::offers(api, version), "{api:?} is not offered in version {version}");
            let header = decode_request_header_from_buffer(&mut request)?;
            let request = RequestKind::decode(api, &mut request, version)?;
            (self.handle(request, version).await, version, header.correlation_id)
        };
        let Some(answer) = answer else { return Ok(None) };
        let mut body = BytesMut::new();
        let header = ResponseHeader::default().with_correlation_id(correlation);
        header.encode(&mut body, api.response_header_version(version))?;
        answer.encode(&mut body, version)?;
        let mut bytes = BytesMut::with_capacity(body.len() + 4);
        bytes.put_u32(u32::try_from(body.len())?);
        bytes.put(body);
        Ok(Some(bytes.freeze()))
    }
}

/// Whether the client closed the connection. False as soon as it sends more.
async fn hung_up(stream: &TcpStream, byte: &mut [u8; 1]) -> bool {
    matches!(stream.peek(byte).await, Ok(0) | Err(_))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
