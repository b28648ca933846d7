//! The layers around every call that a service answers. The outer layer traces, counts and logs the call. The inner
//! layer waits for the whole request, refuses calls above the limit, ends a call at its deadline and turns a panic into
//! INTERNAL.

use std::{collections::HashSet, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, Response},
    middleware::{Next, from_fn_with_state},
};
use futures::FutureExt as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, codec::CompressionEncoding, service::Routes};
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_types::StatusExt as _;
use tracing::{Instrument as _, Span, field::Empty, info, info_span, warn};

use super::{
    Method, Protocol,
    answer::until_taken,
    call_guard::{CallGuard, DEADLINE_TOLERANCE},
    code_name,
    faults::{callers_fault, explain, is_fault, is_fault_of_the_caller, is_server_error},
    methods,
    places::Places,
    stream_end::end_on_drain,
};
use crate::{
    config::service::GrpcConfig,
    deadline,
    failure::{Failure, chain, panic_text},
    json,
    metrics::{self, rpc},
    net::{Peer, Running, UnreadBytes},
    telemetry::trace,
};

/// The routes of a generated server: `routes!(LomsServer, service)`. Requests are bounded, compressed or not, and answers
/// are compressed for callers who accept that.
#[macro_export]
macro_rules! routes {
    ($server:ident, $service:expr) => {
        tonic::service::Routes::new(
            $server::new($service)
                .max_decoding_message_size($crate::grpc::server::MAX_REQUEST_BYTES)
                .accept_compressed(tonic::codec::CompressionEncoding::Gzip)
                .send_compressed(tonic::codec::CompressionEncoding::Gzip),
        )
    };
}

/// Larger requests are refused. The largest reasonable request, an order of 100 lines, has less than 4 KiB.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;
/// A byte that says whether the message is compressed, and four that say how long it is. See "PROTOCOL-HTTP2" of gRPC.
pub(crate) const MESSAGE_PREFIX_BYTES: usize = 5;

/// Who gives a call less time than this cannot count on an answer.
const SHORTEST_DEADLINE: Duration = Duration::from_millis(100);

pub const TRACE_ID_HEADER: &str = "x-trace-id";

/// The methods that every server has in addition to those of its service.
const BUILT_IN_METHODS: [(&str, &str); 5] = [
    ("grpc.health.v1.Health", "Check"),
    ("grpc.health.v1.Health", "List"),
    ("grpc.health.v1.Health", "Watch"),
    ("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo"),
    ("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo"),
];

type Body = axum::body::Body;

/// The router of a service with its layers, health and reflection.
///
/// `service` is the full name of the service, `package.Service`; `routes` must contain this service only. `sheddable` are
/// the methods that leave half of the places to the others.
pub fn router(
    config: &GrpcConfig,
    service: &str,
    sheddable: &[&str],
    descriptors: &'static [u8],
    routes: Routes,
    health: HealthServer<impl Health>,
    drain: CancellationToken,
) -> anyhow::Result<Router> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(descriptors)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // Tools need it to show the details of errors.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .with_service_name(service)
            .with_service_name("grpc.health.v1.Health")
    };
    let invalid = "the descriptors of the service are valid";
    // Clients that compress everything compress these calls as well.
    let gzip = CompressionEncoding::Gzip;
    let health = health.accept_compressed(gzip).send_compressed(gzip);
    let reflection_v1 = reflection().build_v1().context(invalid)?.accept_compressed(gzip).send_compressed(gzip);
    // Many clients know only this version.
    let reflection_v1alpha = reflection().build_v1alpha().context(invalid)?;
    let reflection_v1alpha = reflection_v1alpha.accept_compressed(gzip).send_compressed(gzip);
    let state = Arc::new(ServerState::new(config, service, sheddable, descriptors, drain)?);
    let limited = routes.into_axum_router().layer(from_fn_with_state(Arc::clone(&state), limit));
    // These services come after the layer: probes and tools must get an answer also when the service is at its limit.
    let all = Routes::from(limited).add_service(health).add_service(reflection_v1).add_service(reflection_v1alpha);
    Ok(all.into_axum_router().layer(from_fn_with_state(state, observe)))
}

struct ServerState {
    /// The methods of the service itself.
    methods: HashSet<Method>,
    places: Places,
    default_deadline: Duration,
    max_deadline: Duration,
    drain: CancellationToken,
}

impl ServerState {
    fn new(
        config: &GrpcConfig,
        service: &str,
        sheddable: &[&str],
        descriptors: &[u8],
        drain: CancellationToken,
    ) -> anyhow::Result<Self> {
        let methods: HashSet<_> = methods(descriptors, service)?.into_iter().collect();
        for method in &methods {
            rpc::server().declare(method);
            rpc::declare_protocols(method);
            rpc::declare_callers_faults(method, (0..=16).map(Code::from_i32).filter(|code| is_fault(*code)));
        }
        let named = |name: &&str| Method { service: service.to_owned(), name: (*name).to_owned() };
        let sheddable: HashSet<_> = sheddable.iter().map(named).collect();
        ensure!(sheddable.is_subset(&methods), "{service} has no such methods: {sheddable:?}");
        let GrpcConfig { default_deadline, max_deadline, max_concurrent_requests: most, .. } = *config;
        let places = Places::new(most, sheddable)?;
        Ok(Self { methods, places, default_deadline, max_deadline, drain })
    }

    fn knows(&self, method: &Method) -> bool {
        self.methods.contains(method) || BUILT_IN_METHODS.contains(&(&method.service, &method.name))
    }

    fn timeout(&self, request: &Request) -> Duration {
        deadline::timeout_from_headers(request.headers()).unwrap_or(self.default_deadline).min(self.max_deadline)
    }
}

/// Traces a call. Calls of the service itself are also counted and logged; health and reflection are not.
async fn observe(State(state): State<Arc<ServerState>>, request: Request, next: Next) -> Response<Body> {
    let called = Method::from_path(request.uri().path());
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let protocol = request.extensions().get::<Protocol>().copied().unwrap_or_default();
    let span = server_span(called.as_ref().filter(|method| state.knows(method)), protocol, peer);
    let method = called.filter(|method| state.methods.contains(method));
    trace::set_parent(&span, trace::traceparent_from_headers(request.headers()));
    let trace_id = trace::trace_id(&span);

    if let Some(method) = &method {
        rpc::server().started(method);
    }
    let is_built_in = method.is_none();
    let running = request.extensions().get::<Running>().cloned();
    let timeout = state.timeout(&request);
    let guard = CallGuard::start(timeout, {
        let (span, trace_id) = (span.clone(), trace_id.clone());
        move |code, status, duration| {
            span.record("rpc.response.status_code", code_name(code));
            if is_server_error(code) {
                trace::fail(&span, code_name(code));
            }
            if let Some(method) = &method {
                rpc::server().handled(method, code, duration);
                rpc::count_protocol(protocol, method, code);
                let is_callers = status.is_some_and(is_fault_of_the_caller)
                    || code == Code::DeadlineExceeded && timeout < SHORTEST_DEADLINE;
                if is_callers && is_fault(code) {
                    rpc::count_callers_fault(method, code);
                }
                span.in_scope(|| log_call(status, code, duration, peer, trace_id.as_deref(), is_callers));
            }
        }
    });
    let mut response = next.run(request).instrument(span).await;
    if is_built_in {
        response = end_on_drain(response, running, &state.drain);
    }
    let status = response.extensions().get::<Status>();
    if let Some(refusal) = status.and_then(|status| status.get_details_error_info()) {
        metrics::count_refusal(&refusal.reason);
    }
    guard.finish(status.map_or(Code::Ok, Status::code), status);
    if let Some(value) = trace_id.and_then(|id| HeaderValue::from_str(&id).ok()) {
        response.headers_mut().insert(TRACE_ID_HEADER, value);
    }
    response
}

/// `method` is `None` for an unknown method: callers could fill the traces with invented names.
fn server_span(method: Option<&Method>, protocol: Protocol, peer: Option<SocketAddr>) -> Span {
    let method = method.map_or_else(|| "_OTHER".to_owned(), Method::to_string);
    info_span!(
        "rpc",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        "error.type" = Empty,
        rpc.system.name = "grpc",
        rpc.protocol = protocol.name(),
        rpc.method = method,
        rpc.response.status_code = Empty,
        client.address = peer.map(|peer| peer.ip().to_string()),
        client.port = peer.map(|peer| i64::from(peer.port())),
    )
}

/// The span of the call adds the method and the code to the line.
fn log_call(
    status: Option<&Status>,
    code: Code,
    duration: Duration,
    peer: Option<SocketAddr>,
    trace_id: Option<&str>,
    is_callers_fault: bool,
) {
    let duration_ms = rounded_ms(duration);
    let peer = peer.map(tracing::field::display);
    let message = status.map(Status::message);
    let error = status.and_then(std::error::Error::source).map(chain);
    // Load that is turned away is no fault, and nothing that an operator wants to miss.
    if is_fault(code) && !is_callers_fault {
        warn!(duration_ms, peer, rpc.message = message, error, trace_id, "call failed");
    } else {
        info!(duration_ms, peer, rpc.message = message, error, trace_id, "call answered");
    }
}

/// Milliseconds, rounded to microseconds.
fn rounded_ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

async fn limit(State(state): State<Arc<ServerState>>, request: Request, next: Next) -> Response<Body> {
    let timeout = state.timeout(&request);
    let deadline = Instant::now() + timeout;
    // A request takes a place only when all of it is there: callers may take as long as they like to send it.
    let request = timeout_at(deadline, read(request)).await.unwrap_or_else(|_| {
        let text = "the call's deadline passed before its request was complete";
        Err(callers_fault(Code::DeadlineExceeded, text))
    });
    let request = match request {
        Ok(request) => request,
        Err(status) => return status.into_http(),
    };
    let late = || Status::deadline_exceeded("the call's deadline passed before it was answered").into_http();
    // Who gave it no time at all is not answered by chance.
    if Instant::now() >= deadline {
        return late();
    }
    let answer = timeout_at(deadline, answer(&state, request, next, deadline)).await.unwrap_or_else(|_| late());
    // What the call waited for may be the first to see that so short a deadline passes.
    let is_unavailable = answer.extensions().get::<Status>().is_some_and(|status| status.code() == Code::Unavailable);
    let is_over = timeout < SHORTEST_DEADLINE && Instant::now() + DEADLINE_TOLERANCE >= deadline;
    if is_unavailable && is_over { late() } else { answer }
}

async fn answer(state: &ServerState, request: Request, next: Next, deadline: Instant) -> Response<Body> {
    let share = request.extensions().get::<UnreadBytes>().cloned();
    let running = request.extensions().get::<Running>().cloned();
    let json = request.extensions().get::<json::Call>().cloned();
    let Some(_place) = state.places.take(request.uri().path()) else {
        return Status::resource_exhausted("the service is at its limit of concurrent calls; try again later")
            .into_http();
    };
    let answer = deadline::scope(deadline.into_std(), AssertUnwindSafe(next.run(request)).catch_unwind());
    let answer = match answer.await {
        Ok(response) => explain(response),
        Err(panic) => {
            let failure = Failure::unforeseen(format!("a handler panicked: {}", panic_text(&*panic)));
            Status::from(failure).into_http()
        }
    };
    let answer = match json {
        Some(call) => call.write(answer).await,
        None => answer,
    };
    until_taken(answer, deadline, share.as_ref(), running).await
}

/// Waits for the whole request, and has it as gRPC.
async fn read(request: Request) -> Result<Request, Status> {
    let (parts, body) = request.into_parts();
    let json = parts.extensions.get::<json::Call>();
    let prefix = if json.is_some() { 0 } else { MESSAGE_PREFIX_BYTES };
    let body = Limited::new(body, MAX_REQUEST_BYTES + prefix).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            let text = format!("the request is larger than {MAX_REQUEST_BYTES} bytes");
            return callers_fault(Code::ResourceExhausted, text);
        }
        let mut status = Status::cancelled("the caller broke off before the request was complete");
        status.set_source(Arc::from(error));
        status
    })?;
    let message = match json {
        Some(call) => call.read(&body.to_bytes())?,
        None => body.to_bytes(),
    };
    Ok(Request::from_parts(parts, Body::from(message)))
}
