//! What happens around every call that a service answers, outermost first: it is traced, counted and logged; load
//! beyond the limit is refused at once; the caller's deadline, or the default one, cuts it off; a panic becomes
//! INTERNAL.

use std::{
    any::Any,
    collections::HashSet,
    net::SocketAddr,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, Response},
    middleware::{Next, from_fn_with_state},
};
use futures::FutureExt as _;
use tokio::sync::Semaphore;
use tonic::{Code, Status, service::Routes};
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_types::StatusExt as _;
use tracing::{Instrument as _, Span, field::Empty, info, info_span, warn};

use super::{Method, code_text, methods, running::Running};
use crate::{
    config::service::GrpcConfig,
    deadline,
    failure::{Failure, chain, panic_text},
    metrics::{REFUSALS, rpc},
    net::Peer,
    telemetry::trace,
};

/// Larger requests are refused; the largest sensible one, an order of 100 lines, stays below 4 KiB.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// The response header that names the call's trace.
pub const TRACE_ID_HEADER: &str = "x-trace-id";

/// The methods that every server has beside those of its service.
const TOOLS: [(&str, &str); 5] = [
    ("grpc.health.v1.Health", "Check"),
    ("grpc.health.v1.Health", "List"),
    ("grpc.health.v1.Health", "Watch"),
    ("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo"),
    ("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo"),
];

type Body = axum::body::Body;

/// The router of a service: its RPCs with everything around them, health and reflection.
///
/// `service` is the service's full name, `package.Service`, and `routes` holds nothing else.
pub fn router(
    config: &GrpcConfig,
    service: &str,
    descriptors: &'static [u8],
    routes: Routes,
    health: HealthServer<impl Health>,
) -> anyhow::Result<Router> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(descriptors)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // The details of errors, so that tools can show them.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .with_service_name(service)
            .with_service_name("grpc.health.v1.Health")
    };
    let invalid = "the descriptors of the service are valid";
    let reflection_v1 = reflection().build_v1().context(invalid)?;
    // Many clients know nothing newer.
    let reflection_v1alpha = reflection().build_v1alpha().context(invalid)?;
    let around = Arc::new(Around::new(config, service, descriptors)?);
    let bounded = routes.into_axum_router().layer(from_fn_with_state(Arc::clone(&around), bound));
    // Added after that layer: probes and tools must get an answer also when the service is at its limit.
    let tools = Routes::from(bounded).add_service(health).add_service(reflection_v1).add_service(reflection_v1alpha);
    Ok(tools.into_axum_router().layer(from_fn_with_state(around, observe)))
}

struct Around {
    methods: HashSet<Method>,
    slots: Semaphore,
    default_deadline: Duration,
}

impl Around {
    fn new(config: &GrpcConfig, service: &str, descriptors: &[u8]) -> anyhow::Result<Self> {
        let methods: HashSet<_> = methods(descriptors, service)?.into_iter().collect();
        for method in &methods {
            rpc::server().declare(method);
        }
        let slots = Semaphore::new(config.max_concurrent_requests.try_into()?);
        Ok(Self { methods, slots, default_deadline: config.default_deadline })
    }

    /// Whether a method is of this service, or of the tools beside it: health and reflection.
    fn knows(&self, method: &Method) -> bool {
        self.methods.contains(method) || TOOLS.contains(&(&method.service, &method.name))
    }

    /// How long a call may take.
    fn timeout(&self, request: &Request) -> Duration {
        deadline::requested(request.headers()).unwrap_or(self.default_deadline)
    }
}

/// Traces a call; counts and logs it if it is one of the service's own.
async fn observe(State(around): State<Arc<Around>>, request: Request, next: Next) -> Response<Body> {
    let called = Method::of_path(request.uri().path());
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let span = span(called.as_ref().filter(|method| around.knows(method)), peer);
    let method = called.filter(|method| around.methods.contains(method));
    trace::set_parent(&span, trace::of_headers(request.headers()));
    let trace_id = trace::trace_id(&span);

    if let Some(method) = &method {
        rpc::server().started(method);
    }
    let timeout = around.timeout(&request);
    let running = Running::begin(timeout, {
        let (span, trace_id) = (span.clone(), trace_id.clone());
        move |code, status, took| {
            span.record("rpc.response.status_code", code_text(code));
            if is_fault(code) {
                trace::fail(&span, code_text(code));
            }
            // A tool's call is traced and no more.
            if let Some(method) = &method {
                rpc::server().handled(method, code, took);
                span.in_scope(|| log(status, code, took, peer, trace_id.as_deref()));
            }
        }
    });
    let mut response = next.run(request).instrument(span).await;
    let status = response.extensions().get::<Status>();
    if let Some(refusal) = status.and_then(|status| status.get_details_error_info()) {
        REFUSALS.with([&refusal.reason]).inc();
    }
    running.end(status.map_or(Code::Ok, Status::code), status);
    if let Some(value) = trace_id.and_then(|id| HeaderValue::from_str(&id).ok()) {
        response.headers_mut().insert(TRACE_ID_HEADER, value);
    }
    response
}

/// The span of a call. A method that nobody here knows is not named: callers could fill the traces with names.
fn span(method: Option<&Method>, peer: Option<SocketAddr>) -> Span {
    let method = method.map_or_else(|| "_OTHER".to_owned(), Method::to_string);
    info_span!(
        "rpc",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        "error.type" = Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = Empty,
        client.address = peer.map(|peer| peer.ip().to_string()),
        client.port = peer.map(|peer| i64::from(peer.port())),
    )
}

/// The line of a call; the method and the code are fields of its span.
fn log(status: Option<&Status>, code: Code, took: Duration, peer: Option<SocketAddr>, trace_id: Option<&str>) {
    let duration_ms = rounded_ms(took);
    let peer = peer.map(tracing::field::display);
    let message = status.map(Status::message);
    if is_fault(code) {
        let error = status.and_then(std::error::Error::source).map(chain);
        warn!(duration_ms, peer, rpc.message = message, error, trace_id, "call failed");
    } else {
        info!(duration_ms, peer, rpc.message = message, trace_id, "call answered");
    }
}

/// Milliseconds, to the microsecond.
fn rounded_ms(took: Duration) -> f64 {
    (took.as_secs_f64() * 1e6).round() / 1e3
}

/// Whether a code speaks of a fault on our side, as OpenTelemetry's conventions for RPC servers have it.
fn is_fault(code: Code) -> bool {
    [Code::Unknown, Code::DeadlineExceeded, Code::Unimplemented, Code::Internal, Code::Unavailable, Code::DataLoss]
        .contains(&code)
}

/// Refuses a call above the limit, and cuts it off at its deadline.
async fn bound(State(around): State<Arc<Around>>, request: Request, next: Next) -> Response<Body> {
    let Ok(_slot) = around.slots.try_acquire() else {
        return Status::resource_exhausted("the service is at its limit of concurrent calls; try again later")
            .into_http();
    };
    let timeout = around.timeout(&request);
    let answer = deadline::scope(Instant::now() + timeout, AssertUnwindSafe(next.run(request)).catch_unwind());
    match tokio::time::timeout(timeout, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => Status::from(panicked(&*panic)).into_http(),
        Err(_) => Status::deadline_exceeded("the call's deadline passed before it was answered").into_http(),
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Failure {
    Failure::unforeseen(format!("a handler panicked: {}", panic_text(panic)))
}
