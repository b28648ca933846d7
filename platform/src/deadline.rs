//! The deadline of the request that the current task works on. Calls that the task makes for the request end by then.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use http::HeaderMap;

tokio::task_local! {
    static DEADLINE: Instant;
}

/// Runs a future with a deadline that [`remaining`] reads. The future is not cut off at the deadline.
pub async fn scope<F: Future>(deadline: Instant, future: F) -> F::Output {
    DEADLINE.scope(deadline, future).await
}

/// The time until the deadline; `None` outside a request.
pub fn remaining() -> Option<Duration> {
    DEADLINE.try_with(|deadline| deadline.saturating_duration_since(Instant::now())).ok()
}

pub(crate) const GRPC_TIMEOUT: &str = "grpc-timeout";

/// The caller's timeout: at most eight digits and a unit. See "PROTOCOL-HTTP2" of gRPC.
pub(crate) fn timeout_from_headers(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(unit_of_timeout(unit)? * digits.parse().ok()?)
}

/// What a unit of `grpc-timeout` stands for.
pub(crate) fn unit_of_timeout(unit: &str) -> Option<Duration> {
    match unit {
        "H" => Some(Duration::from_secs(3600)),
        "M" => Some(Duration::from_secs(60)),
        "S" => Some(Duration::from_secs(1)),
        "m" => Some(Duration::from_millis(1)),
        "u" => Some(Duration::from_micros(1)),
        "n" => Some(Duration::from_nanos(1)),
        _ => None,
    }
}

/// The value of `grpc-timeout` in milliseconds: at least 1, at most eight digits.
pub(crate) fn timeout_header(timeout: Duration) -> String {
    format!("{}m", timeout.as_millis().clamp(1, 99_999_999))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_of_grpc_timeout_is_understood_and_nonsense_ignored() {
        let read = |text: &str| {
            timeout_from_headers(&HeaderMap::from_iter([(
                http::HeaderName::from_static(GRPC_TIMEOUT),
                text.parse().ok()?,
            )]))
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
        assert_eq!(read(&timeout_header(Duration::from_secs(5))), Some(Duration::from_secs(5)));
    }
}
