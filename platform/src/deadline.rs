//! The moment at which the caller of the running request stops waiting. It travels with the task, so that every call
//! made on the request's behalf is bounded by it.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use http::HeaderMap;

tokio::task_local! {
    static DEADLINE: Instant;
}

/// Runs a future with a deadline that [`remaining`] reads; does not cut it off.
pub async fn scope<F: Future>(deadline: Instant, future: F) -> F::Output {
    DEADLINE.scope(deadline, future).await
}

/// How long the caller still waits; `None` where nobody does.
pub fn remaining() -> Option<Duration> {
    DEADLINE.try_with(|deadline| deadline.saturating_duration_since(Instant::now())).ok()
}

/// The header in which gRPC carries the time that a caller gives.
pub const GRPC_TIMEOUT: &str = "grpc-timeout";

/// Reads `grpc-timeout`: at most eight digits and a unit, see "PROTOCOL-HTTP2" of gRPC.
pub fn requested(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// Writes the value of `grpc-timeout`, in milliseconds, at least one and at most what eight digits hold.
pub fn to_header(timeout: Duration) -> String {
    format!("{}m", timeout.as_millis().clamp(1, 99_999_999))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_of_grpc_timeout_is_understood_and_nonsense_ignored() {
        let read = |text: &str| {
            requested(&HeaderMap::from_iter([(http::HeaderName::from_static(GRPC_TIMEOUT), text.parse().ok()?)]))
        };
        assert_eq!(read("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(read("3M"), Some(Duration::from_secs(180)));
        assert_eq!(read("4S"), Some(Duration::from_secs(4)));
        assert_eq!(read("5m"), Some(Duration::from_millis(5)));
        assert_eq!(read("6u"), Some(Duration::from_micros(6)));
        assert_eq!(read("7n"), Some(Duration::from_nanos(7)));
        for nonsense in ["", "S", "123456789S", "1s", "-1S", "é"] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
        assert_eq!(read(&to_header(Duration::from_secs(5))), Some(Duration::from_secs(5)));
    }
}
