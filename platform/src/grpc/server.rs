//! What happens around every call that a service answers, outermost first: it is traced, counted and logged; load
//! beyond the limit is refused at once; the caller's deadline, or the default one, cuts it off; a panic becomes
//! INTERNAL.

use std::{
    collections::HashSet,
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
use tracing::{Instrument as _, field::Empty, info, info_span, warn};

use super::{Method, code_name, codes, methods};
use crate::{
    config::service::GrpcConfig,
    deadline,
    failure::{Failure, chain},
    metrics,
    net::Peer,
    telemetry::trace,
};

/// Larger requests are refused; the largest sensible one, an order of 100 lines, stays below 4 KiB.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// The response header that names the call's trace.
pub const TRACE_ID_HEADER: &str = "x-trace-id";

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
            metrics::SERVER_STARTED.with_label_values(&method.labels());
            metrics::SERVER_HANDLING_SECONDS.with_label_values(&method.labels());
            for code in codes() {
                metrics::SERVER_HANDLED.with_label_values(&method.labels_with(&code_name(code)));
            }
        }
        let slots = Semaphore::new(config.max_concurrent_requests.try_into()?);
        Ok(Self { methods, slots, default_deadline: config.default_deadline })
    }
}

/// Traces a call; counts and logs it if it is one of the service's own.
async fn observe(State(around): State<Arc<Around>>, request: Request, next: Next) -> Response<Body> {
    let method = Method::of_path(request.uri().path()).filter(|method| around.methods.contains(method));
    let span = info_span!(
        "rpc",
        otel.name = request.uri().path().trim_start_matches('/'),
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system = "grpc",
        rpc.grpc.status_code = Empty,
    );
    trace::set_parent(&span, trace::of_headers(request.headers()));
    let trace_id = trace::trace_id(&span);
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);

    let started = Instant::now();
    if let Some(method) = &method {
        metrics::SERVER_STARTED.with_label_values(&method.labels()).inc();
    }
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.extensions().get::<Status>();
    let code = status.map_or(Code::Ok, Status::code);
    span.record("rpc.grpc.status_code", code as i32);
    if is_fault(code) {
        span.record("otel.status_code", "ERROR");
    }
    if let Some(method) = &method {
        let took = started.elapsed();
        metrics::SERVER_HANDLED.with_label_values(&method.labels_with(&code_name(code))).inc();
        metrics::SERVER_HANDLING_SECONDS.with_label_values(&method.labels()).observe(took.as_secs_f64());
        span.in_scope(|| log(method, status, code, took, peer));
    }
    if let Some(value) = trace_id.and_then(|id| HeaderValue::from_str(&id).ok()) {
        response.headers_mut().insert(TRACE_ID_HEADER, value);
    }
    response
}

fn log(method: &Method, status: Option<&Status>, code: Code, took: Duration, peer: Option<std::net::SocketAddr>) {
    let cause = status.and_then(std::error::Error::source).map(chain);
    let rpc = &method.name;
    let code_name = code_name(code);
    let duration_ms = took.as_secs_f64() * 1e3;
    let peer = peer.map(tracing::field::display);
    let refusal = status.map(Status::message);
    if is_fault(code) {
        warn!(
            rpc.method = rpc,
            rpc.code = code_name,
            duration_ms,
            peer,
            rpc.message = refusal,
            error = cause,
            "call failed"
        );
    } else {
        info!(rpc.method = rpc, rpc.code = code_name, duration_ms, peer, rpc.message = refusal, "call answered");
    }
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
    let timeout = deadline::requested(request.headers()).unwrap_or(around.default_deadline);
    let answer = deadline::scope(Instant::now() + timeout, AssertUnwindSafe(next.run(request)).catch_unwind());
    match tokio::time::timeout(timeout, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => Status::from(Failure::unforeseen(panic_text(panic))).into_http(),
        Err(_) => Status::deadline_exceeded("the call's deadline passed before it was answered").into_http(),
    }
}

fn panic_text(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    format!("a handler panicked: {text}")
}
