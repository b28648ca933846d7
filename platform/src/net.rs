//! Serves HTTP/2 and HTTP/1.1 on a port, with or without TLS. A port that is told to drain takes no new connection,
//! finishes the running calls and closes.

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
use tracing::{debug, warn};

use crate::{config::service::GrpcConfig, tls::ServerTls};

/// For the TLS handshake, and for the headers of an HTTP/1.1 request.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// HTTP/2 pings find callers that are gone.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause when the system has no resources, such as file descriptors, for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The caller's address, among the extensions of every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub SocketAddr);

/// A port that is open but does not answer yet.
pub struct Port {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<ServerTls>,
}

impl Port {
    /// Opens the port for callers, and warns if the port speaks plaintext.
    pub(crate) async fn open_public(config: &GrpcConfig) -> anyhow::Result<Self> {
        let tls = config.tls.as_ref().map(ServerTls::load).transpose().context("grpc.tls")?;
        if tls.is_none() {
            warn!("grpc.tls is left out: the port is plaintext and open to everybody who reaches it");
        }
        Self::open(config.listen, tls).await.context("grpc.listen")
    }

    /// Callers queue until [`Port::serve`] runs.
    pub async fn open(address: SocketAddr, tls: Option<ServerTls>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr().context("a listening socket has an address")?;
        Ok(Self { listener, address, tls })
    }

    /// Has the real port number, also if the configuration says 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers calls until `drain` is cancelled. Returns when the last running call is answered.
    pub async fn serve(self, router: Router, drain: CancellationToken) {
        let connections = GracefulShutdown::new();
        loop {
            let (stream, peer) = tokio::select! {
                () = drain.cancelled() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let connection = Connection { peer, router: router.clone(), watcher: connections.watcher() };
            tokio::spawn(connection.run(stream, self.tls.clone()));
        }
        // A closed socket refuses new connections at once. An open one would let them queue, and nobody would answer.
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
        // Without TCP_NODELAY, a small message waits until the peer has acknowledged the previous one.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "cannot set TCP_NODELAY");
        }
        let Some(tls) = tls else {
            return self.serve_http(stream).await;
        };
        let handshake = TlsAcceptor::from(tls.current()).accept(stream);
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
            Ok(Ok(stream)) => self.serve_http(stream).await,
            Ok(Err(error)) => debug!(peer = %self.peer, %error, "TLS handshake refused"),
            Err(_) => debug!(peer = %self.peer, "TLS handshake took too long"),
        }
    }

    async fn serve_http(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE_TIMEOUT);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .max_concurrent_streams(1024);
        let peer = Peer(self.peer);
        let service = self.router.map_request(move |mut request: Request<_>| {
            request.extensions_mut().insert(peer);
            request
        });
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        if let Err(error) = self.watcher.watch(connection.into_owned()).await {
            debug!(peer = %self.peer, error, "connection ended early");
        }
    }
}
