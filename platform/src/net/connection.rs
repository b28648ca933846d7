//! The life of one connection: handshake, requests, and an end when nothing comes or the port drains.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, extract::Request};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::debug;

use super::{
    activity::Activity,
    admission::{Admission, Admitted},
};
use crate::{config::service::ConnectionsConfig, metrics::net::Reason, tls::ServerTls};

/// For the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// HTTP/2 pings find callers that are gone.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// What a caller may send before it is read: of one request, and of all requests on a connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What HTTP/2 keeps of an answer that its caller does not take; the rest stays with the answer.
const SEND_BUFFER: usize = 64 * 1024;
/// The bytes of large answers that a connection may leave untaken. The largest answers have 4 MiB.
const MAX_UNREAD_BYTES: usize = 16 * 1024 * 1024;
/// What HTTP/1.1 reads of a request before its headers are complete, and of a body at once.
const MAX_HEADERS: usize = 64 * 1024;
/// The time that a peer has to take the end of a connection after the last request.
const LINGER: Duration = Duration::from_secs(5);

/// The caller's address, among the extensions of every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub SocketAddr);

/// The bytes that the calls of one connection may leave untaken, among the extensions of every request.
#[derive(Debug, Clone)]
pub(crate) struct UnreadBytes(pub Arc<Semaphore>);

pub(super) struct Connection {
    pub peer: SocketAddr,
    pub began_at: Instant,
    pub admitted: Arc<Admitted>,
    pub admission: Arc<Admission>,
    pub config: ConnectionsConfig,
    pub max_streams: u32,
    pub router: Router,
    pub drain: CancellationToken,
}

impl Connection {
    pub async fn run(self, stream: TcpStream, tls: Option<ServerTls>) {
        // Without TCP_NODELAY, a small message waits until the peer has acknowledged the previous one.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "cannot set TCP_NODELAY");
        }
        let Some(tls) = tls else {
            return self.serve_http(stream).await;
        };
        let handshake = TlsAcceptor::from(tls.current()).accept(stream);
        let refused = |error: &str| self.admission.refused(Reason::Handshake, Some(self.peer), error);
        let timeout = HANDSHAKE_TIMEOUT.min(self.config.first_request_timeout);
        match tokio::time::timeout(timeout, handshake).await {
            Ok(Ok(stream)) => self.serve_http(stream).await,
            Ok(Err(error)) => refused(&error.to_string()),
            Err(_) => refused("the TLS handshake took too long"),
        }
    }

    async fn serve_http(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        // Headers that do not come end a connection as silence does. This bound would hold between two requests, too.
        builder.http1().header_read_timeout(None).max_buf_size(MAX_HEADERS);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .max_concurrent_streams(self.max_streams)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER);
        let activity = Activity::new();
        let unread_bytes = UnreadBytes(Arc::new(Semaphore::new(MAX_UNREAD_BYTES)));
        let service = self.router.map_request({
            let (peer, activity, admitted) = (Peer(self.peer), activity.clone(), Arc::clone(&self.admitted));
            move |mut request: Request<_>| {
                let extensions = request.extensions_mut();
                extensions.insert(peer);
                extensions.insert(unread_bytes.clone());
                extensions.insert(activity.begin());
                admitted.requested();
                request
            }
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
        let first_request_timeout = self.config.first_request_timeout.saturating_sub(self.began_at.elapsed());
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = self.drain.cancelled() => None,
            () = activity.silence(first_request_timeout, self.config.idle_timeout) => {
                if !self.admitted.has_requested() {
                    self.admission.refused(Reason::Silence, Some(self.peer), "no request came");
                }
                None
            }
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                let lingered = async {
                    activity.end().await;
                    tokio::time::sleep(LINGER).await;
                };
                tokio::select! {
                    ended = connection => ended,
                    () = lingered => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            debug!(peer = %self.peer, error, "connection ended early");
        }
    }
}
