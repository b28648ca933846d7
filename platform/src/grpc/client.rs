//! Calls to another gRPC service. The channel connects at the first call and reconnects by itself. Every call carries
//! the deadline and the trace of the request it is made for, and is traced and counted.

use std::{
    error::Error,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use tonic::{Code, ConnectError, Status, TimeoutExpired, body::Body, transport::Channel as Transport};
use tower::{Service, ServiceExt as _};
use tracing::{Instrument as _, debug, field::Empty, info_span};

use super::{
    Method,
    call_guard::CallGuard,
    code_name, methods,
    transport::{CONNECT_TIMEOUT, Replaceable},
};
use crate::{config::ServiceUrl, deadline, failure::chain, metrics::rpc, telemetry::trace, tls::ClientTls};

/// What is done about a connection that breaks, or that does not answer HTTP/2 pings while a call waits.
#[derive(Debug, Clone, Copy)]
pub struct Resilience {
    ping_interval: Duration,
    ping_timeout: Duration,
    repeats_calls: bool,
}

impl Resilience {
    /// For calls that are safe to repeat, because they only read or carry a key, to servers that take pings as often as
    /// they come: such a call is made again on another connection, within its deadline.
    pub const REPEAT: Self =
        Self { ping_interval: Duration::from_secs(1), ping_timeout: Duration::from_secs(1), repeats_calls: true };
    /// For other calls, and for servers in Go, which take frequent pings for an attack: the call fails.
    pub const FAIL: Self =
        Self { ping_interval: Duration::from_secs(20), ping_timeout: Duration::from_secs(5), repeats_calls: false };
}

/// For a call without a deadline of its own that is made outside a request.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

const DEADLINE_TEXT: &str = "no answer within the deadline";

/// A connection to one service, for the generated clients. Clones share the connection.
#[derive(Clone)]
pub struct Channel {
    transport: Replaceable,
    repeats_calls: bool,
    server: Uri,
}

impl Channel {
    /// The methods of `service` (`package.Service`), from its `descriptors`, are in the metrics from the start. `tls`
    /// is not used if the address begins with `http://`.
    pub fn new(
        url: &ServiceUrl,
        tls: &ClientTls,
        service: &str,
        descriptors: &[u8],
        resilience: Resilience,
    ) -> anyhow::Result<Self> {
        for method in methods(descriptors, service)? {
            rpc::client().declare(&method);
        }
        let transport = Replaceable::new(url, tls, move |endpoint| {
            endpoint
                .connect_timeout(CONNECT_TIMEOUT)
                .http2_keep_alive_interval(resilience.ping_interval)
                .keep_alive_timeout(resilience.ping_timeout)
        })?;
        Ok(Self { transport, repeats_calls: resilience.repeats_calls, server: url.uri().clone() })
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.transport.latest().poll_ready(context).map_err(transport_status)
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

        let (transport, failures) = self.transport.take();
        let another = self.repeats_calls.then(|| transport.clone());
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
            let answer = tokio::time::timeout(timeout, call(transport, another, request)).await;
            let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded(DEADLINE_TEXT)));
            let code = match &answer {
                Ok(response) => Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code()),
                Err(status) => status.code(),
            };
            failures.count(code);
            guard.finish(code, None);
            answer
        };
        Box::pin(call.instrument(span))
    }
}

/// Makes a call on a connection that is ready. If it breaks, makes the call again on `another`.
async fn call(
    mut ready: Transport,
    another: Option<Transport>,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let Some(mut another) = another else { return ready.call(request).await.map_err(transport_status) };
    let (parts, body) = request.into_parts();
    let message = body.collect().await?.to_bytes();
    let request = || Request::from_parts(parts.clone(), Body::new(Full::new(message.clone())));
    match ready.call(request()).await {
        // Without a connection, nothing broke.
        Err(error) if !has_cause::<ConnectError>(&error) && !has_cause::<TimeoutExpired>(&error) => {
            debug!(error = chain(&error), "a connection broke; the call is made again on another");
            let another = another.ready().await.map_err(transport_status)?;
            another.call(request()).await.map_err(transport_status)
        }
        answer => answer.map_err(transport_status),
    }
}

/// A failure on the way to the service or back means UNAVAILABLE. But the transport watches the deadline as well, and
/// may be the first to see it pass.
fn transport_status(error: tonic::transport::Error) -> Status {
    if has_cause::<TimeoutExpired>(&error) {
        return Status::deadline_exceeded(DEADLINE_TEXT);
    }
    let mut status = Status::unavailable("the service cannot be reached");
    status.set_source(std::sync::Arc::new(error));
    status
}

fn has_cause<T: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&cause| cause.source()).any(|cause| cause.is::<T>())
}
