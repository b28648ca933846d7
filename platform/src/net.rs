//! Serves HTTP/2 and HTTP/1.1 on a port, with or without TLS. A port that is told to drain takes no new connection,
//! finishes the running calls and closes.

mod activity;
mod admission;
mod connection;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use axum::Router;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

pub(crate) use activity::Running;
pub(crate) use connection::{Peer, UnreadBytes};

use crate::{
    config::service::{AdminConfig, ConnectionsConfig, GrpcConfig, HttpConfig},
    metrics::net::Reason,
    tls::ServerTls,
};
use admission::Admission;
use connection::Connection;

/// The pause when the system has no resources, such as file descriptors, for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The calls of one connection that run at once; a client keeps others back. Clients begin with this number before they
/// know the server's, and RFC 9113 asks for no less. Of a port that runs fewer than twice as many, it is half of them.
const MAX_STREAMS: u32 = 100;
/// Operators are few.
const MAX_ADMIN_CONNECTIONS: u32 = 64;
/// Of the files that the process may open, these are kept for operators, databases, brokers and other services.
const RESERVED_FILES: u64 = 192;

/// A port that is open but does not answer yet.
pub struct Port {
    name: &'static str,
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<ServerTls>,
    connections: ConnectionsConfig,
    max_streams: u32,
}

impl Port {
    /// Opens the ports for callers, of which the second is for HTTP/JSON. Warns if they speak plaintext.
    pub async fn open_public(config: &GrpcConfig, http: Option<&HttpConfig>) -> anyhow::Result<(Self, Option<Self>)> {
        let tls = config.tls.as_ref().map(ServerTls::load).transpose().context("grpc.tls")?;
        if tls.is_none() {
            warn!("grpc.tls is left out: calls come in plaintext, from everybody who reaches the port");
        }
        let mut connections = config.connections.clone();
        let ports = 1 + u64::from(http.is_some());
        let possible = max_open_files().map_or(u64::MAX, |files| files.saturating_sub(RESERVED_FILES) / ports).max(1);
        if let Ok(possible) = u32::try_from(possible)
            && possible < connections.max
        {
            warn!(connections = possible, "the limit of open files allows fewer connections than grpc.connections.max");
            connections.max = possible;
        }
        let max_streams = config.max_concurrent_requests.div_ceil(2).min(MAX_STREAMS);
        let http = match http {
            Some(http) => {
                let port = Self::open("http", http.listen, tls.clone(), connections.clone()).await;
                Some(Self { max_streams, ..port.context("http.listen")? })
            }
            None => None,
        };
        let port = Self::open("grpc", config.listen, tls, connections).await.context("grpc.listen")?;
        Ok((Self { max_streams, ..port }, http))
    }

    /// Opens the port for operators.
    pub(crate) async fn open_admin(config: &AdminConfig) -> anyhow::Result<Self> {
        let (max, max_per_address) = (MAX_ADMIN_CONNECTIONS, MAX_ADMIN_CONNECTIONS);
        let connections = ConnectionsConfig { max, max_per_address, ..ConnectionsConfig::default() };
        Self::open("admin", config.listen, None, connections).await.context("admin.listen")
    }

    /// Callers queue until [`Port::serve`] runs.
    async fn open(
        name: &'static str,
        address: SocketAddr,
        tls: Option<ServerTls>,
        connections: ConnectionsConfig,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr().context("a listening socket has an address")?;
        Ok(Self { name, listener, address, tls, connections, max_streams: MAX_STREAMS })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Has the real port number, also if the configuration says 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers calls until `drain` is cancelled. Returns when the last running call is answered.
    pub async fn serve(self, router: Router, drain: CancellationToken) {
        let Self { name, listener, tls, connections: config, max_streams, .. } = self;
        let in_numbers = |bound: u32| usize::try_from(bound).unwrap_or(usize::MAX);
        let admission = Admission::new(name, in_numbers(config.max), in_numbers(config.max_per_address));
        let connections = TaskTracker::new();
        let closed = CancellationToken::new();
        loop {
            let (stream, peer) = tokio::select! {
                () = drain.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        admission.refused(Reason::Resources, None, &error.to_string());
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let Some(admitted) = admission.admit(peer) else { continue };
            let evicted = admitted.evicted();
            let connection = Connection {
                peer,
                began_at: Instant::now(),
                admitted: admitted.into(),
                admission: admission.clone(),
                config: config.clone(),
                max_streams,
                router: router.clone(),
                drain: closed.clone(),
            };
            let tls = tls.clone();
            connections.spawn(async move { evicted.run_until_cancelled(connection.run(stream, tls)).await });
        }
        // A closed socket refuses new connections at once. An open one would let them queue, and nobody would answer.
        drop(listener);
        // Only now: a caller who is told to leave connects anew, and must find another process.
        closed.cancel();
        connections.close();
        connections.wait().await;
    }
}

/// How many files the process may open, after it has taken all that it may take. `None` if there is no limit.
fn max_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            debug!(%error, "cannot raise the limit of open files");
            limit.current
        }
    }
}
