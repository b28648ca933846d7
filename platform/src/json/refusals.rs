//! A status as a gRPC gateway shows it over HTTP: its code, its message and its details as JSON, under a code of HTTP.

use std::sync::LazyLock;

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE},
};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tracing::debug;

static DETAILS: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(tonic_types::pb::FILE_DESCRIPTOR_SET).ok());

/// Callers read these from the header of gRPC when their call is over gRPC-Web.
pub(super) fn answer(code: StatusCode, status: &Status) -> Response<Body> {
    let body = json!({ "code": status.code() as i32, "message": status.message(), "details": details(status) });
    let mut answer = Response::new(Body::from(body.to_string()));
    *answer.status_mut() = code;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// Each with its `@type`. What cannot be written is left out.
fn details(status: &Status) -> Vec<Value> {
    let written = || {
        let descriptor = DETAILS.as_ref()?.get_message_by_name("google.rpc.Status")?;
        let status = DynamicMessage::decode(descriptor, status.details()).ok()?;
        let options = SerializeOptions::new().skip_default_fields(false).use_proto_field_name(true);
        let json = status.serialize_with_options(serde_json::value::Serializer, &options);
        let mut json =
            json.inspect_err(|error| debug!(%error, "details of a status that no JSON is known for")).ok()?;
        match json.get_mut("details")?.take() {
            Value::Array(details) => Some(details),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => None,
        }
    };
    if status.details().is_empty() { Vec::new() } else { written().unwrap_or_default() }
}

/// As the gRPC gateway has it.
pub(super) fn http_code(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
