//! Serves HTTP on a port, HTTP/2 and HTTP/1.1, with or without TLS, until it is told to drain: then it takes no new
//! connection, finishes the calls that run, and closes.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use axum::{Router, extract::Request};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::warn;

use crate::{config::service::GrpcConfig, tls::ServerTls};

/// How long a caller may take for the TLS handshake and, in HTTP/1.1, for its headers.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often an HTTP/2 connection is asked whether somebody is still there, and how long it may take to answer.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// How long to wait when the system has no resources (file descriptors) for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The caller's address, in the extensions of every request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// A port that is open already, so that a taken one is noticed before anything else starts.
pub struct Port {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<ServerTls>,
}

impl Port {
    /// Opens the port that callers use, and warns if everybody can read what is said there.
    pub async fn open_public(config: &GrpcConfig) -> anyhow::Result<Self> {
        let tls = config.tls.as_ref().map(ServerTls::load).transpose().context("grpc.tls")?;
        if tls.is_none() {
            warn!("grpc.tls is left out: the port is plaintext and open to everybody who reaches it");
        }
        Self::open(config.listen, tls).await.context("grpc.listen")
    }

    /// Opens the port. Callers queue until [`Port::serve`] runs.
    pub async fn open(address: SocketAddr, tls: Option<ServerTls>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr().context("a listening socket has an address")?;
        Ok(Self { listener, address, tls })
    }

    /// Where callers reach it; the port number is the real one also if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers calls until `drain`, then returns when the last running call is answered.
    pub async fn serve(self, router: Router, drain: CancellationToken) {
        let connections = GracefulShutdown::new();
        loop {
            let (stream, peer) = tokio::select! {
                () = drain.cancelled() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let connection = Connection { peer, router: router.clone(), watcher: connections.watcher() };
            tokio::spawn(connection.run(stream, self.tls.clone()));
        }
        // Refuse new connections at once instead of leaving them in the queue of a socket that nobody reads.
        drop(self.listener);
        connections.shutdown().await;
    }
}

struct Connection {
    peer: SocketAddr,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
}

impl Connection {
    async fn run(self, stream: TcpStream, tls: Option<ServerTls>) {
        // Small messages of one call must not wait for an acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let Some(tls) = tls else {
            return self.speak_http(stream).await;
        };
        let handshake = TlsAcceptor::from(tls.current()).accept(stream);
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
            Ok(Ok(stream)) => self.speak_http(stream).await,
            Ok(Err(error)) => tracing::debug!(peer = %self.peer, %error, "TLS handshake refused"),
            Err(_) => tracing::debug!(peer = %self.peer, "TLS handshake took too long"),
        }
    }

    async fn speak_http(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE_TIMEOUT);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE.0)
            .keep_alive_timeout(KEEP_ALIVE.1)
            .max_concurrent_streams(1024);
        let peer = Peer(self.peer);
        let service = self.router.map_request(move |mut request: Request<_>| {
            request.extensions_mut().insert(peer);
            request
        });
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        if let Err(error) = self.watcher.watch(connection.into_owned()).await {
            tracing::debug!(peer = %self.peer, error, "connection ended early");
        }
    }
}
