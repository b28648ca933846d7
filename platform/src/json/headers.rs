//! The headers that a call takes along.

use axum::http::{HeaderMap, HeaderName};

use crate::deadline::GRPC_TIMEOUT;

/// These mean the same at both doors.
const SHARED: [&str; 4] = [GRPC_TIMEOUT, "traceparent", "tracestate", "user-agent"];
/// What follows this is metadata of gRPC, as for a gRPC gateway.
const METADATA_PREFIX: &str = "grpc-metadata-";
/// Metadata that is not the caller's to say.
const RESERVED_PREFIX: &str = "grpc-";

pub(super) fn of_call(headers: &HeaderMap) -> HeaderMap {
    let mut taken = HeaderMap::new();
    for (name, value) in headers {
        let metadata = name.as_str().strip_prefix(METADATA_PREFIX);
        let metadata = metadata.filter(|name| !name.starts_with(RESERVED_PREFIX) && !SHARED.contains(name));
        if let Some(name) = metadata.and_then(|name| HeaderName::try_from(name).ok()) {
            taken.append(name, value.clone());
        } else if SHARED.contains(&name.as_str()) {
            taken.append(name, value.clone());
        }
    }
    taken
}
