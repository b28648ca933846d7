//! Calls at the JSON door, made of those that a client makes for gRPC, and their answers turned back. A refusal becomes the
//! status that gRPC would have told.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use axum::http::{self, HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use prost_reflect::{DescriptorPool, MessageDescriptor, prost::Message as _};
use reqwest::{Client, Url};
use tonic::{Code, Status, body::Body, metadata::MetadataMap};
use tonic_types::pb;

use super::{Methods, methods::read};
use crate::certs;

/// The flag and the length before each message of gRPC.
const PREFIX_BYTES: usize = 5;
/// Longer than the deadline of any call.
const LONGEST: Duration = Duration::from_secs(15);
const DEADLINE_HEADER: &str = "grpc-timeout";
const TRACE_ID_HEADER: HeaderName = HeaderName::from_static("x-trace-id");
/// What a refusal is in JSON.
const REFUSAL: &str = "google.rpc.Status";

/// The JSON door of a service. Clones share its connections.
#[derive(Debug, Clone)]
pub struct JsonDoor {
    client: Client,
    /// Without a path, and without a slash at its end.
    url: Arc<str>,
    methods: Methods,
    refusal: MessageDescriptor,
}

/// What was told over HTTP instead of an answer: the source of the [`Status`] that became of it.
#[derive(Debug)]
pub struct Told {
    pub code: StatusCode,
    pub body: String,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.as_u16(), self.body)
    }
}

impl std::error::Error for Told {}

impl JsonDoor {
    /// An address that begins with `http://` is spoken to in plaintext. `certs` is the directory of the certificates.
    pub(super) fn new(url: &str, certs: &Path) -> anyhow::Result<Self> {
        let parsed = Url::parse(url).with_context(|| format!("{url} is no address"))?;
        ensure!(["http", "https"].contains(&parsed.scheme()), "{url} is no address of HTTP");
        let builder = match parsed.scheme() {
            "https" => certs::http_client(certs)?.identity(certs::http_identity(certs)?),
            _ => Client::builder(),
        };
        let client = builder.no_proxy().timeout(LONGEST).build()?;
        let pool = DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET)?;
        let refusal = pool.get_message_by_name(REFUSAL).context("refusals are not described")?;
        Ok(Self { client, url: url.trim_end_matches('/').into(), methods: Methods::of_all_services()?, refusal })
    }

    pub(super) async fn call(self, request: http::Request<Body>) -> Result<http::Response<Body>, Status> {
        let grpc_path = request.uri().path();
        let method = self.methods.find(grpc_path).and_then(|method| Some((method, method.http_path.as_deref()?)));
        let (method, path) =
            method.ok_or_else(|| Status::unimplemented(format!("{grpc_path} is no call of the JSON door")))?;
        let unreadable = |error: anyhow::Error| Status::internal(format!("{path}: {error:#}"));

        let (parts, framed) = request.into_parts();
        let framed = framed.collect().await?.to_bytes();
        let json = method.request_json(framed.get(PREFIX_BYTES..).unwrap_or_default()).map_err(unreadable)?;
        let mut call = self.client.post(format!("{}{path}", self.url)).header(CONTENT_TYPE, "application/json");
        if let Some(deadline) = parts.headers.get(DEADLINE_HEADER) {
            call = call.header(DEADLINE_HEADER, deadline);
        }
        let answer = call.body(json).send().await.map_err(unanswered)?;
        let code = answer.status();
        let trace_id = answer.headers().get(&TRACE_ID_HEADER).map(|id| (TRACE_ID_HEADER, id.clone()));
        let headers = HeaderMap::from_iter(trace_id);
        let body = answer.bytes().await.map_err(unanswered)?;
        if code != StatusCode::OK {
            return Err(self.refused(code, headers, &body));
        }
        let message = method.read_answer(&body).map_err(unreadable)?;
        let mut answer = http::Response::new(framed_body(&message)?);
        *answer.headers_mut() = headers;
        Ok(answer)
    }

    fn refused(&self, code: StatusCode, headers: HeaderMap, body: &[u8]) -> Status {
        let told = Told { code, body: String::from_utf8_lossy(body).into_owned() };
        let refusal =
            read(self.refusal.clone(), body).and_then(|bytes| Ok((pb::Status::decode(bytes.as_slice())?, bytes)));
        let mut status = match refusal {
            // Something between here and the service may answer JSON of its own.
            Ok((refusal, bytes)) if refusal.code != 0 => {
                let metadata = MetadataMap::from_headers(headers);
                let code = Code::from_i32(refusal.code);
                Status::with_details_and_metadata(code, refusal.message, bytes.into(), metadata)
            }
            Ok(_) | Err(_) => Status::unknown(format!("neither an answer nor a refusal: {told}")),
        };
        status.set_source(Arc::new(told));
        status
    }
}

fn unanswered(error: reqwest::Error) -> Status {
    let code = if error.is_timeout() { Code::DeadlineExceeded } else { Code::Unavailable };
    let mut status = Status::new(code, error.to_string());
    status.set_source(Arc::new(error));
    status
}

/// A message, and behind it that all is well.
fn framed_body(message: &[u8]) -> Result<Body, Status> {
    let length = u32::try_from(message.len()).map_err(|error| Status::internal(error.to_string()))?;
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    // Not compressed.
    framed.put_u8(0);
    framed.put_u32(length);
    framed.put_slice(message);
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    Ok(Body::new(Full::new(Bytes::from(framed)).with_trailers(std::future::ready(Some(Ok(trailers))))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tonic_types::StatusExt as _;

    use super::*;

    #[test]
    fn a_refusal_keeps_its_code_and_details_and_what_is_none_is_unknown() {
        let door = JsonDoor::new("http://localhost:1", Path::new("")).unwrap();
        let refused = |body: &str| door.refused(StatusCode::BAD_REQUEST, HeaderMap::new(), body.as_bytes());
        let status = refused(
            r#"{"code": 9, "message": "no", "new": 1, "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "CART_EMPTY", "domain": "route256", "metadata": {}}]}"#,
        );
        assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "no"));
        assert_eq!(status.get_details_error_info().unwrap().reason, "CART_EMPTY");
        for body in ["<h1>Bad Gateway</h1>", "", "{}", r#"{"error": "away"}"#] {
            let status = refused(body);
            assert_eq!(status.code(), Code::Unknown, "{body}");
            assert!(status.message().ends_with(&format!("400 {body}")), "{status}");
        }
    }
}
