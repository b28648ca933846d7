//! Whose fault it is that a call does not succeed: the service's, or the caller's alone.

use std::{error::Error as _, sync::Arc};

use axum::{body::Body, http::Response};
use tonic::{Code, Status};

const ACCEPT_ENCODING: &str = "grpc-accept-encoding";

/// The codes that are errors of the server in OpenTelemetry's conventions for RPCs.
pub(super) fn is_server_error(code: Code) -> bool {
    [Code::Unknown, Code::DeadlineExceeded, Code::Unimplemented, Code::Internal, Code::Unavailable, Code::DataLoss]
        .contains(&code)
}

/// The codes that speak of the service, unless the caller brought them about.
pub(super) fn is_fault(code: Code) -> bool {
    is_server_error(code) || code == Code::ResourceExhausted
}

/// The source of a status that the caller alone brought about: the request cannot be read, or did not come in time.
#[derive(Debug, thiserror::Error)]
#[error("the caller alone brought it about")]
struct CallersFault;

pub(crate) fn callers_fault(code: Code, text: impl Into<String>) -> Status {
    let mut status = Status::new(code, text);
    status.set_source(Arc::new(CallersFault));
    status
}

pub(crate) fn is_fault_of_the_caller(status: &Status) -> bool {
    status.source().is_some_and(|source| source.is::<CallersFault>())
}

/// Says in our words what tonic says of a request that it cannot read: that is no fault of the service. Failures of the
/// service have a source, and codes that it never uses are tonic's.
pub(super) fn explain(response: Response<Body>) -> Response<Body> {
    let Some(status) = response.extensions().get::<Status>() else { return response };
    let is_ours = status.source().is_some();
    let meanings = [
        (Code::Internal, Code::InvalidArgument),
        (Code::OutOfRange, Code::ResourceExhausted),
        (Code::Unknown, Code::Cancelled),
    ];
    let meaning = meanings.into_iter().find(|(said, _)| *said == status.code() && !is_ours);
    // Of a compression that it does not know, tonic says which ones it knows.
    let is_compression = status.code() == Code::Unimplemented && status.metadata().contains_key(ACCEPT_ENCODING);
    let Some(code) = meaning.map(|(_, code)| code).or(is_compression.then_some(status.code())) else {
        return response;
    };
    let mut explained = callers_fault(code, format!("the request cannot be read: {}", status.message()));
    *explained.metadata_mut() = status.metadata().clone();
    explained.into_http()
}
