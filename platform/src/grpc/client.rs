//! Calls to another gRPC service. The channel connects at the first call and reconnects by itself. Every call carries
//! the deadline and the trace of the request it is made for, and is traced and counted.

use std::{
    error::Error,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tonic::{
    Code, Status, TimeoutExpired,
    body::Body,
    transport::{Channel as Transport, Endpoint},
};
use tower::{Service, service_fn};
use tracing::{Instrument as _, field::Empty, info_span};

use super::{Method, call_guard::CallGuard, code_name, methods};
use crate::{config::ServiceUrl, deadline, metrics::rpc, telemetry::trace, tls::ClientTls};

/// Includes the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// HTTP/2 pings find servers that are gone while a call waits for them.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// For a call without a deadline of its own that is made outside a request.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

const DEADLINE_TEXT: &str = "no answer within the deadline";

trait IoStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> IoStream for T {}

/// A connection to one service, for the generated clients. Clones share the connection.
#[derive(Clone)]
pub struct Channel {
    transport: Transport,
    server: Uri,
}

impl Channel {
    /// The methods of `service` (`package.Service`), from its `descriptors`, are in the metrics from the start. `tls`
    /// is not used if the address begins with `http://`.
    pub fn new(url: &ServiceUrl, tls: &ClientTls, service: &str, descriptors: &[u8]) -> anyhow::Result<Self> {
        for method in methods(descriptors, service)? {
            rpc::client().declare(&method);
        }
        let tls = url.is_tls().then(|| tls.clone());
        // `connect` does TLS, because certificates may change. An endpoint with the scheme `https` would need its own.
        let mut plain = url.uri().clone().into_parts();
        plain.scheme = Some(http::uri::Scheme::HTTP);
        let transport = Endpoint::from(Uri::from_parts(plain)?)
            .origin(url.uri().clone())
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .connect_with_connector_lazy(service_fn(move |uri: Uri| connect(uri, tls.clone())));
        Ok(Self { transport, server: url.uri().clone() })
    }
}

async fn connect(uri: Uri, tls: Option<ClientTls>) -> std::io::Result<TokioIo<Box<dyn IoStream>>> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let stream = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or(443))).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(TokioIo::new(Box::new(stream))) };
    let name = ServerName::try_from(host).map_err(std::io::Error::other)?;
    let stream = TlsConnector::from(tls.current()).connect(name, stream).await?;
    Ok(TokioIo::new(Box::new(stream)))
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.transport.poll_ready(context).map_err(transport_status)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let method = Method::from_path(request.uri().path());
        let name = method.as_ref().map(Method::to_string);
        let span = info_span!(
            "rpc",
            otel.name = name,
            otel.kind = "client",
            otel.status_code = Empty,
            "error.type" = Empty,
            rpc.system.name = "grpc",
            rpc.method = name,
            rpc.response.status_code = Empty,
            server.address = self.server.host(),
            server.port = self.server.port_u16().map(i64::from),
        );
        let timeout =
            [deadline::timeout_from_headers(request.headers()), deadline::remaining()].into_iter().flatten().min();
        let timeout = timeout.unwrap_or(DEFAULT_TIMEOUT);
        if let Ok(value) = HeaderValue::from_str(&deadline::timeout_header(timeout)) {
            request.headers_mut().insert(deadline::GRPC_TIMEOUT, value);
        }
        trace::inject(&span, request.headers_mut());

        // Only the transport that `poll_ready` saw may take the call; a clone of it is not ready.
        let clone = self.transport.clone();
        let mut transport = std::mem::replace(&mut self.transport, clone);
        if let Some(method) = &method {
            rpc::client().started(method);
        }
        let guard = CallGuard::start(timeout, {
            let span = span.clone();
            move |code, _, duration| {
                span.record("rpc.response.status_code", code_name(code));
                if code != Code::Ok {
                    trace::fail(&span, code_name(code));
                }
                if let Some(method) = &method {
                    rpc::client().handled(method, code, duration);
                }
            }
        });
        let call = async move {
            let answer = match tokio::time::timeout(timeout, transport.call(request)).await {
                Ok(answer) => answer.map_err(transport_status),
                Err(_) => Err(Status::deadline_exceeded(DEADLINE_TEXT)),
            };
            let code = match &answer {
                Ok(response) => Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code()),
                Err(status) => status.code(),
            };
            guard.finish(code, None);
            answer
        };
        Box::pin(call.instrument(span))
    }
}

/// A failure on the way to the service or back means UNAVAILABLE. But the transport watches the deadline as well, and
/// may be the first to see it pass.
fn transport_status(error: tonic::transport::Error) -> Status {
    let first: &(dyn Error + 'static) = &error;
    if std::iter::successors(Some(first), |&cause| cause.source()).any(|cause| cause.is::<TimeoutExpired>()) {
        return Status::deadline_exceeded(DEADLINE_TEXT);
    }
    let mut status = Status::unavailable("the service cannot be reached");
    status.set_source(std::sync::Arc::new(error));
    status
}
