//! The JSON door: the calls of a service over HTTP, with messages as proto3 JSON, as a gRPC gateway answers them. What
//! comes in here becomes the same call that gRPC brings, and goes through the same layers, once. Browsers come in here
//! with gRPC-Web, too.

mod call;
mod docs;
mod front;
mod headers;
mod read;
mod refusals;
mod write;

use std::{collections::HashSet, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{
        HeaderName, HeaderValue, Method as HttpMethod, Response, StatusCode,
        header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE},
    },
    middleware::from_fn_with_state,
    routing::{get, post},
};
use prost_reflect::{DescriptorPool, Value};
use tonic::Status;
use tonic_web::GrpcWebLayer;
use tower::{Layer as _, ServiceExt as _};
use tower_http::cors::{AllowOrigin, CorsLayer};

pub(crate) use call::Call;
use call::Operation;

use crate::{
    config::service::{HttpConfig, Origin},
    grpc::Protocol,
};

/// The option of methods that names their paths.
const PATH: &str = "route256.api.path";

/// The content types of gRPC-Web.
const GRPC_WEB: [&str; 4] = [
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
];

/// What browsers of allowed origins may send beside what every page may, and read.
const REQUEST_HEADERS: [&str; 8] = [
    "authorization",
    "content-type",
    "grpc-timeout",
    "idempotency-key",
    "traceparent",
    "tracestate",
    "x-grpc-web",
    "x-user-agent",
];
const ANSWER_HEADERS: [&str; 5] =
    ["grpc-message", "grpc-metadata-x-trace-id", "grpc-status", "grpc-status-details-bin", "x-trace-id"];

/// The router of the HTTP port of a service, `package.Service`. `openapi` is its document; `calls` answers calls as gRPC.
pub fn router(
    config: &HttpConfig,
    service: &str,
    descriptors: &[u8],
    openapi: &'static str,
    calls: Router,
) -> anyhow::Result<Router> {
    let operations = operations(descriptors, service)?;
    let methods: Arc<HashSet<_>> =
        Arc::new(operations.iter().map(|(_, operation)| operation.path().to_owned()).collect());
    let mut router = Router::new();
    for (path, operation) in operations {
        let calls = calls.clone();
        let answer = move |request| call::answer(operation, request, calls);
        router = router.route(&path, post(answer).fallback(|| wrong_method("POST")));
    }
    let document = get(async move || ([(CACHE_CONTROL, "no-cache"), (CONTENT_TYPE, "application/json")], openapi));
    let router = router
        .route("/openapi.json", document.fallback(|| wrong_method("GET,HEAD")))
        .merge(docs::routes())
        .fallback(move |request| grpc_web(request, methods, calls));
    let origins = &config.cors.allowed_origins;
    let allowed = Arc::new(origins.iter().map(|origin| origin.0.clone()).collect());
    let router = router.layer(from_fn_with_state(allowed, front::door));
    Ok(if origins.is_empty() { router } else { router.layer(cors(origins)) })
}

/// The calls of a service, `package.Service`, by the paths that lead to them.
fn operations(descriptors: &[u8], service: &str) -> anyhow::Result<Vec<(String, Arc<Operation>)>> {
    let pool = DescriptorPool::decode(descriptors)?;
    let (service, path) = (pool.get_service_by_name(service), pool.get_extension_by_name(PATH));
    let (Some(service), Some(path)) = (service, path) else { return Ok(Vec::new()) };
    let mut operations = Vec::new();
    for method in service.methods() {
        let operation = Arc::new(Operation::new(&method)?);
        let options = method.options();
        let paths = options.get_extension(&path);
        let paths = paths.as_list().into_iter().flatten().filter_map(Value::as_str);
        operations.extend(paths.map(|path| (path.to_owned(), Arc::clone(&operation))));
    }
    Ok(operations)
}

/// Calls of gRPC-Web come with the paths of gRPC.
async fn grpc_web(mut request: Request, methods: Arc<HashSet<String>>, calls: Router) -> Response<Body> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_call = content_type.is_some_and(|value| GRPC_WEB.contains(&value)) && request.method() == HttpMethod::POST;
    if !is_call || !methods.contains(request.uri().path()) {
        return refusals::answer(StatusCode::NOT_FOUND, &Status::not_found("Not Found"));
    }
    request.extensions_mut().insert(Protocol::GrpcWeb);
    match GrpcWebLayer::new().layer(calls).oneshot(request).await {
        Ok(mut answer) => {
            // It was that of the answer of gRPC.
            answer.headers_mut().remove(CONTENT_LENGTH);
            answer.map(Body::new)
        }
        Err(never) => match never {},
    }
}

async fn wrong_method(allowed: &'static str) -> Response<Body> {
    let status = Status::unimplemented("Method Not Allowed");
    let mut answer = refusals::answer(StatusCode::METHOD_NOT_ALLOWED, &status);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

fn cors(origins: &[Origin]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().map(|origin| origin.0.clone())))
        .allow_methods([HttpMethod::GET, HttpMethod::POST])
        .allow_headers(REQUEST_HEADERS.map(HeaderName::from_static))
        .expose_headers(ANSWER_HEADERS.map(HeaderName::from_static))
        .max_age(Duration::from_secs(600))
}
