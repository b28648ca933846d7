//! The headers that a call takes along, and those that its answer brings.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::deadline::{GRPC_TIMEOUT, timeout_header, unit_of_timeout};

/// These mean the same at both doors.
const SHARED: [&str; 4] = ["authorization", "traceparent", "tracestate", "user-agent"];
/// What follows this is metadata of gRPC, as for a gRPC gateway.
const METADATA_PREFIX: &str = "grpc-metadata-";
/// Metadata that is bytes ends with this, and is in base64.
const BINARY_SUFFIX: &str = "-bin";
/// Metadata that belongs to the protocol, or to a gateway.
const RESERVED: [&str; 6] = ["connection", "content-length", "content-type", "date", "host", "te"];
const RESERVED_PREFIXES: [&str; 2] = ["grpc-", "grpcgateway-"];

/// With or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The headers of the call as gRPC has them, and what is wrong with them. What cannot be read is left out.
pub(super) fn of_call(headers: &HeaderMap) -> (HeaderMap, Result<(), String>) {
    let (mut taken, mut fault) = (HeaderMap::new(), Ok(()));
    for (name, value) in headers {
        if SHARED.contains(&name.as_str()) {
            taken.append(name, value.clone());
            continue;
        }
        let Some(metadata) = name.as_str().strip_prefix(METADATA_PREFIX).filter(|name| is_metadata(name)) else {
            continue;
        };
        if metadata.ends_with(BINARY_SUFFIX) && BASE64.decode(value.as_bytes()).is_err() {
            fault = Err(format!("{name}: is not base64"));
        } else if let Ok(metadata) = HeaderName::try_from(metadata)
            && value.as_bytes().iter().all(|byte| (b' '..=b'~').contains(byte))
        {
            taken.append(metadata, value.clone());
        }
    }
    match timeout(headers) {
        Ok(timeout) => taken.extend(timeout.map(|timeout| (HeaderName::from_static(GRPC_TIMEOUT), timeout))),
        Err(error) => fault = Err(error),
    }
    (taken, fault)
}

fn is_metadata(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    !name.is_empty()
        && name.bytes().all(is_plain)
        && !RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        && !RESERVED.contains(&name)
}

/// The caller's timeout as gRPC has it. One that is not above 0 is over, but for 0 itself, which is none.
fn timeout(headers: &HeaderMap) -> Result<Option<HeaderValue>, String> {
    let Some(value) = headers.get(GRPC_TIMEOUT).filter(|value| !value.is_empty()) else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let read = || {
        let (amount, unit) = text.split_at_checked(text.len() - 1)?;
        Some((amount.parse::<i64>().ok()?, unit_of_timeout(unit)?))
    };
    let (amount, unit) = read().ok_or_else(|| format!("invalid grpc-timeout: {text}"))?;
    if amount == 0 {
        return Ok(None);
    }
    let timeout = unit.saturating_mul(u32::try_from(amount.max(0)).unwrap_or(u32::MAX));
    let text = if timeout < Duration::from_millis(1) { "0n".to_owned() } else { timeout_header(timeout) };
    Ok(HeaderValue::try_from(text).ok())
}

/// What the answer of gRPC has in its headers, as metadata.
pub(super) fn of_answer(headers: &HeaderMap) -> HeaderMap {
    let mut shown = HeaderMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| is_metadata(name.as_str())) {
        let bytes = name.as_str().ends_with(BINARY_SUFFIX).then(|| BASE64.decode(value.as_bytes()).ok()).flatten();
        let value = bytes.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok()).unwrap_or_else(|| value.clone());
        if let Ok(name) = HeaderName::try_from(format!("{METADATA_PREFIX}{name}")) {
            shown.append(name, value);
        }
    }
    shown
}
