//! Calls to another gRPC service: one lazy channel that reconnects by itself, over TLS unless the address says
//! otherwise, with the caller's deadline and trace passed on, and every call counted and timed.

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

use super::{Method, code_text, methods, running::Running};
use crate::{config::ServiceUrl, deadline, metrics::rpc, telemetry::trace, tls::ClientTls};

/// How long a connection, including its TLS handshake, may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a connection with calls under way is asked whether the other side is still there, and how long that may
/// take.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(5));
/// How long a call may take for which neither its maker nor the request on whose behalf it is made set a deadline.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// The text of a call that was not answered by its deadline.
const TOO_LATE: &str = "no answer within the deadline";

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A channel to one service, for the generated clients; clones share the connection.
#[derive(Clone)]
pub struct Channel {
    transport: Transport,
    /// Whom it calls, for traces.
    server: Uri,
}

impl Channel {
    /// Makes a channel; it connects at the first call.
    ///
    /// `service` (`package.Service`) and the `descriptors` it is found in name the methods for metrics. `tls` is
    /// not used where the address begins with `http://`.
    pub fn new(url: &ServiceUrl, tls: &ClientTls, service: &str, descriptors: &[u8]) -> anyhow::Result<Self> {
        for method in methods(descriptors, service)? {
            rpc::client().declare(&method);
        }
        let tls = url.is_tls().then(|| tls.clone());
        // The connector below does the TLS, with certificates that may change; to the endpoint the stream is plain.
        let mut plain = url.uri().clone().into_parts();
        plain.scheme = Some(http::uri::Scheme::HTTP);
        let transport = Endpoint::from(Uri::from_parts(plain)?)
            .origin(url.uri().clone())
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE.0)
            .keep_alive_timeout(KEEP_ALIVE.1)
            .connect_with_connector_lazy(service_fn(move |uri: Uri| connect(uri, tls.clone())));
        Ok(Self { transport, server: url.uri().clone() })
    }
}

async fn connect(uri: Uri, tls: Option<ClientTls>) -> std::io::Result<TokioIo<Box<dyn Stream>>> {
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
        self.transport.poll_ready(context).map_err(unreachable)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let method = Method::of_path(request.uri().path());
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
        let timeout = [deadline::requested(request.headers()), deadline::remaining()].into_iter().flatten().min();
        let timeout = timeout.unwrap_or(DEFAULT_TIMEOUT);
        if let Ok(value) = HeaderValue::from_str(&deadline::to_header(timeout)) {
            request.headers_mut().insert(deadline::GRPC_TIMEOUT, value);
        }
        trace::inject(&span, request.headers_mut());

        // The clone has not been polled ready; the service that was takes the call.
        let fresh = self.transport.clone();
        let mut transport = std::mem::replace(&mut self.transport, fresh);
        if let Some(method) = &method {
            rpc::client().started(method);
        }
        let running = Running::begin(timeout, {
            let span = span.clone();
            move |code, _, took| {
                span.record("rpc.response.status_code", code_text(code));
                if code != Code::Ok {
                    trace::fail(&span, code_text(code));
                }
                if let Some(method) = &method {
                    rpc::client().handled(method, code, took);
                }
            }
        });
        let call = async move {
            let answer = match tokio::time::timeout(timeout, transport.call(request)).await {
                Ok(answer) => answer.map_err(unreachable),
                Err(_) => Err(Status::deadline_exceeded(TOO_LATE)),
            };
            let code = match &answer {
                Ok(response) => Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code()),
                Err(status) => status.code(),
            };
            running.end(code, None);
            answer
        };
        Box::pin(call.instrument(span))
    }
}

/// Whatever breaks on the way to a service or back, the service is unavailable to us. The transport watches the deadline
/// too, and may be the first to see it pass.
fn unreachable(error: tonic::transport::Error) -> Status {
    let first: &(dyn Error + 'static) = &error;
    if std::iter::successors(Some(first), |&cause| cause.source()).any(|cause| cause.is::<TimeoutExpired>()) {
        return Status::deadline_exceeded(TOO_LATE);
    }
    let mut status = Status::unavailable("the service cannot be reached");
    status.set_source(std::sync::Arc::new(error));
    status
}
