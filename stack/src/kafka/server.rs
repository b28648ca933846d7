//! Connections: who has one, which requests come in on it, and what goes back.

use std::{convert::Infallible, io, pin::pin, time::Duration};

use anyhow::{Context as _, ensure};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use kafka_protocol::{
    messages::{ApiKey, RequestKind, ResponseHeader},
    protocol::{Encodable as _, buf::ByteBuf as _, decode_request_header_from_buffer},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{interval, timeout},
};
use tracing::{debug, warn};

use super::{Kafka, layout, lock, offered};

/// A larger request ends its connection.
const MOST_REQUEST: usize = 100 * 1024 * 1024;
/// What is read ahead while a request is being answered, and what is read at once.
const AHEAD: usize = 64 * 1024;
/// A connection on which nothing passes for so long ends, as Kafka's do.
const IDLE: Duration = Duration::from_secs(600);
/// How often members are looked for that have left without a word.
const SWEEP: Duration = Duration::from_millis(100);

impl Kafka {
    /// Serves until the future is dropped, which cuts all connections.
    pub async fn serve(&self, listener: TcpListener) -> Infallible {
        let most = raise_limit_of_connections();
        let (mut connections, mut sweeps, mut tidying) = (JoinSet::new(), interval(SWEEP), pin!(self.stay_tidy()));
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((_, peer)) if connections.len() >= most => warn!(%peer, most, "there are too many connections"),
                    Ok((stream, peer)) => {
                        let kafka = self.clone();
                        connections.spawn(async move {
                            match kafka.talk(stream).await {
                                Err(error) if error.is::<io::Error>() => debug!(%peer, %error, "a connection broke"),
                                Err(error) => warn!(%peer, error = format!("{error:#}"), "a client cannot be answered"),
                                Ok(()) => {}
                            }
                        });
                    }
                    Err(error) => {
                        // Such as too many open files: those that are there go on.
                        warn!(%error, "a client cannot connect");
                        tokio::time::sleep(SWEEP).await;
                    }
                },
                _ = connections.join_next(), if !connections.is_empty() => {}
                _ = sweeps.tick() => lock(&self.0.groups).sweep(),
                never = &mut tidying => return never,
            }
        }
    }

    /// Answers the requests of a connection, one after the other. What came in whole is done, also when the client is gone
    /// by then.
    async fn talk(&self, stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let mut caller = Caller { stream, read: BytesMut::new(), is_gone: false };
        while let Some(request) = caller.next_request().await? {
            let answer = tokio::select! {
                // Whoever hangs up waits no longer, but what can be done at once is done.
                biased;
                answer = self.answer(request) => answer?,
                () = caller.hung_up() => None,
            };
            if let Some(answer) = answer
                && !caller.is_gone
            {
                timeout(IDLE, caller.stream.write_all(&answer)).await.context("it does not read its answers")??;
            }
        }
        Ok(())
    }

    /// Returns the answer with its length; `None` for a request that wants none.
    async fn answer(&self, mut request: Bytes) -> anyhow::Result<Option<Bytes>> {
        let (key, version) = {
            let mut start = request.try_peek_bytes(0..4)?;
            (start.get_i16(), start.get_i16())
        };
        let api = ApiKey::try_from(key).ok().with_context(|| format!("no request has the key {key}"))?;
        let (answer, version, correlation) = if api == ApiKey::ApiVersions && version > offered::API_VERSIONS {
            // A newer client learns what there is, in the oldest form.
            let correlation = request.try_peek_bytes(4..8)?.get_i32();
            (Some(offered::unsupported_api_versions()), 0, correlation)
        } else {
            ensure!(offered::offers(api, version), "{api:?} is not offered in version {version}");
            let header = decode_request_header_from_buffer(&mut request)?;
            layout::check(api, version, &request)?;
            let request = RequestKind::decode(api, &mut request, version)?;
            (self.handle(request, version).await, version, header.correlation_id)
        };
        let Some(answer) = answer else { return Ok(None) };
        let mut bytes = BytesMut::new();
        bytes.put_u32(0);
        let header = ResponseHeader::default().with_correlation_id(correlation);
        header.encode(&mut bytes, api.response_header_version(version))?;
        answer.encode(&mut bytes, version)?;
        let length = u32::try_from(bytes.len() - 4)?;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        Ok(Some(bytes.freeze()))
    }
}

struct Caller {
    stream: TcpStream,
    /// What has come in and is not answered yet.
    read: BytesMut,
    is_gone: bool,
}

impl Caller {
    /// `None` at the end of the connection.
    async fn next_request(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            let wanted = match self.read.first_chunk() {
                None => 4,
                Some(length) => {
                    let length = usize::try_from(u32::from_be_bytes(*length))?;
                    ensure!((8..=MOST_REQUEST).contains(&length), "a request of {length} bytes");
                    4 + length
                }
            };
            if self.read.len() >= wanted && wanted > 4 {
                let mut request = self.read.split_to(wanted);
                request.advance(4);
                return Ok(Some(request.freeze()));
            }
            if self.is_gone {
                return Ok(None);
            }
            // Memory is taken for what is there, not for what is announced.
            self.read.reserve(AHEAD.min(wanted - self.read.len()));
            match timeout(IDLE, self.stream.read_buf(&mut self.read)).await {
                Ok(read) => self.is_gone = read? == 0,
                Err(_) => return Ok(None),
            }
        }
    }

    /// Returns when the client has closed the connection. What it sends before that is kept.
    async fn hung_up(&mut self) {
        while !self.is_gone {
            if self.read.len() >= AHEAD {
                return std::future::pending().await;
            }
            self.read.reserve(AHEAD);
            self.is_gone = matches!(self.stream.read_buf(&mut self.read).await, Ok(0) | Err(_));
        }
    }
}

/// Lets this process open as many files as the system allows. Returns how many clients may be connected, so that files
/// are left for topics.
fn raise_limit_of_connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let files = match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => limit.maximum,
        Err(error) => {
            debug!(%error, "cannot raise the limit of open files");
            limit.current
        }
    };
    files.and_then(|files| usize::try_from(files / 4 * 3).ok()).unwrap_or(usize::MAX)
}
