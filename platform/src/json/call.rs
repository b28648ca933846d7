//! One call: its request becomes the message that gRPC would bring, and its answer becomes JSON again. Both happen within
//! the layers around the call (`grpc/server.rs`), so that they are traced, bounded and counted as parts of it.

use std::sync::Arc;

use anyhow::ensure;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderName, HeaderValue, Method as HttpMethod, Response, StatusCode, Uri, header::CONTENT_TYPE},
};
use bytes::{BufMut as _, BytesMut};
use http_body_util::BodyExt as _;
use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, MethodDescriptor, Value};
use tonic::{Code, Status};
use tower::ServiceExt as _;

use super::{headers, read, refusals, write::Json};
use crate::{
    failure::Failure,
    grpc::{
        Protocol,
        faults::{callers_fault, is_fault_of_the_caller},
        server::{MESSAGE_PREFIX_BYTES, TRACE_ID_HEADER},
    },
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
/// A gateway says with every answer that is no refusal what it had from the service.
const GATEWAY_CONTENT_TYPE: HeaderName = HeaderName::from_static("grpc-metadata-content-type");
const IDEMPOTENCY_KEY_HEADER: &str = "idempotency-key";
const IDEMPOTENCY_KEY_FIELD: &str = "idempotency_key";

/// A method of the service as it is reached here.
#[derive(Debug)]
pub(super) struct Operation {
    /// The path of gRPC.
    path: Uri,
    request: MessageDescriptor,
    answer: MessageDescriptor,
    /// The field of the request that a header can fill as well.
    idempotency_key: Option<FieldDescriptor>,
}

impl Operation {
    pub fn new(method: &MethodDescriptor) -> anyhow::Result<Self> {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name()).parse()?;
        let idempotency_key = method.input().get_field_by_name(IDEMPOTENCY_KEY_FIELD);
        let (request, answer) = (method.input(), method.output());
        Ok(Self { path, request, answer, idempotency_key })
    }

    pub fn path(&self) -> &str {
        self.path.path()
    }

    /// Writes the answer of gRPC as JSON.
    fn write(&self, mut framed: Bytes) -> anyhow::Result<Vec<u8>> {
        ensure!(framed.first() == Some(&0), "the answer is empty or compressed");
        let message = DynamicMessage::decode(self.answer.clone(), framed.split_off(MESSAGE_PREFIX_BYTES))?;
        Ok(serde_json::to_vec(&Json(&message))?)
    }
}

/// Answers a call with JSON.
pub(super) async fn answer(operation: Arc<Operation>, request: Request, calls: Router) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let (headers, mut headers_read) = headers::of_call(&parts.headers);
    if parts.headers.get_all(IDEMPOTENCY_KEY_HEADER).iter().count() > 1 {
        headers_read = Err("Idempotency-Key: is given twice".into());
    }
    let idempotency_key = parts.headers.remove(IDEMPOTENCY_KEY_HEADER);
    parts.headers = headers;
    parts.headers.insert(CONTENT_TYPE, GRPC);
    (parts.method, parts.uri) = (HttpMethod::POST, operation.path.clone());
    parts.extensions.insert(Protocol::Json);
    parts.extensions.insert(Call { operation, headers_read, idempotency_key });
    let mut answer = match calls.oneshot(Request::from_parts(parts, body)).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    };
    let trace_id = answer.headers().get(TRACE_ID_HEADER).cloned();
    let mut headers = headers::of_answer(answer.headers());
    if let Some(status) = answer.extensions().get::<Status>() {
        // What is too large says so with a code of HTTP, apart from too much load.
        let is_too_large = status.code() == Code::ResourceExhausted && is_fault_of_the_caller(status);
        let code = if is_too_large { StatusCode::PAYLOAD_TOO_LARGE } else { refusals::http_code(status.code()) };
        answer = refusals::answer(code, status);
    } else {
        answer.headers_mut().clear();
        answer.headers_mut().insert(CONTENT_TYPE, JSON);
        answer.headers_mut().insert(GATEWAY_CONTENT_TYPE, GRPC);
    }
    if let Some(trace_id) = trace_id {
        headers.insert(TRACE_ID_HEADER, trace_id);
    }
    answer.headers_mut().extend(headers);
    answer
}

/// In the extensions of a request that came here.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    operation: Arc<Operation>,
    /// What is wrong with the headers.
    headers_read: Result<(), String>,
    idempotency_key: Option<HeaderValue>,
}

impl Call {
    /// Turns the JSON of a request into the message of gRPC.
    pub fn read(&self, json: &[u8]) -> Result<Bytes, Status> {
        let refused = |error: String| callers_fault(Code::InvalidArgument, error);
        self.headers_read.clone().map_err(refused)?;
        let mut message = read::read(&self.operation.request, json).map_err(refused)?;
        if let Some(field) = &self.operation.idempotency_key {
            self.add_idempotency_key(&mut message, field).map_err(refused)?;
        }
        let mut framed = BytesMut::with_capacity(MESSAGE_PREFIX_BYTES + message.encoded_len());
        // Not compressed.
        framed.put_u8(0);
        framed.put_u32(u32::try_from(message.encoded_len()).map_err(Failure::unforeseen)?);
        message.encode(&mut framed).map_err(Failure::unforeseen)?;
        Ok(framed.freeze())
    }

    fn add_idempotency_key(&self, message: &mut DynamicMessage, field: &FieldDescriptor) -> Result<(), String> {
        let Some(key) = &self.idempotency_key else { return Ok(()) };
        let key = key.to_str().map_err(|_| "Idempotency-Key: must be printable ASCII".to_owned())?;
        let in_body = message.get_field(field);
        match in_body.as_str() {
            Some(in_body) if !in_body.is_empty() && in_body != key => {
                Err(format!("{IDEMPOTENCY_KEY_FIELD}: the header Idempotency-Key has another value"))
            }
            Some(_) | None => {
                message.set_field(field, Value::String(key.to_owned()));
                Ok(())
            }
        }
    }

    /// Turns the message of an answer into JSON. A refusal stays what it is, until it has passed all layers.
    pub async fn write(&self, answer: Response<Body>) -> Response<Body> {
        if answer.extensions().get::<Status>().is_some() {
            return answer;
        }
        let (parts, body) = answer.into_parts();
        let json = match body.collect().await {
            Ok(body) => self.operation.write(body.to_bytes()),
            Err(error) => Err(error.into()),
        };
        match json {
            Ok(json) => {
                let mut answer = Response::new(Body::from(Bytes::from(json)));
                *answer.extensions_mut() = parts.extensions;
                *answer.headers_mut() = parts.headers;
                answer
            }
            Err(error) => Status::from(Failure::unforeseen(error)).into_http(),
        }
    }
}
