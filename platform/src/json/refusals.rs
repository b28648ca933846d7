//! A status as a gRPC gateway shows it over HTTP: its code, its message and its details as JSON, under a code of HTTP.

use std::sync::LazyLock;

use anyhow::anyhow;
use axum::{
    body::Body,
    http::{
        HeaderValue, Response, StatusCode,
        header::{CONTENT_TYPE, WWW_AUTHENTICATE},
    },
};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tracing::debug;

use super::write::Json;

/// Knows the types of details.
static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(tonic_types::pb::FILE_DESCRIPTOR_SET).unwrap_or_default());

pub(super) fn answer(code: StatusCode, status: &Status) -> Response<Body> {
    let body = json!({ "code": status.code() as i32, "message": status.message(), "details": details(status) });
    let mut answer = Response::new(Body::from(body.to_string()));
    *answer.status_mut() = code;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if code == StatusCode::UNAUTHORIZED
        && let Ok(challenge) = HeaderValue::from_bytes(status.message().replace(['\r', '\n'], " ").as_bytes())
    {
        answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    answer
}

/// Each with its `@type`. One whose type nobody knows is left out.
fn details(status: &Status) -> Vec<Value> {
    let details = tonic_types::pb::Status::decode(status.details()).unwrap_or_default().details;
    let written = details.iter().filter_map(|any| {
        detail(any).inspect_err(|error| debug!(%error, "a detail of a refusal cannot be written as JSON")).ok()
    });
    written.collect()
}

fn detail(any: &prost_types::Any) -> anyhow::Result<Value> {
    let name = any.type_url.rsplit('/').next().unwrap_or_default();
    let descriptor = POOL.get_message_by_name(name).ok_or_else(|| anyhow!("nobody knows {name}"))?;
    let message = DynamicMessage::decode(descriptor, any.value.as_slice())?;
    let mut json = json!({ "@type": any.type_url });
    if let (Value::Object(json), Value::Object(fields)) = (&mut json, serde_json::to_value(Json(&message))?) {
        json.extend(fields);
    }
    leave_out_new_fields(&mut json);
    Ok(json)
}

/// Violations have fields now that the gateway did not know, and that nobody fills.
fn leave_out_new_fields(detail: &mut Value) {
    let Some(Value::Array(violations)) = detail.get_mut("field_violations") else { return };
    for violation in violations.iter_mut().filter_map(Value::as_object_mut) {
        violation.retain(|name, _| ["field", "description"].contains(&name.as_str()));
    }
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
