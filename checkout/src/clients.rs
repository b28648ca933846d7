//! The services that checkout calls, as the rest of it sees them: domain types in and out, and two kinds of failure.

pub mod loms;
pub mod products;

use std::{
    error::Error as _,
    future::Future,
    time::{Duration, Instant},
};

use platform::{deadline, failure::Failure};
use tonic::{Code, Status};

/// How long a call may take that nobody set a deadline for.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(5);
/// What is kept of the caller's time to say what went wrong, or to write down what went right; of little time, a
/// fifth.
const MARGIN: Duration = Duration::from_millis(250);

/// How long another service may take on behalf of the running request.
pub fn patience() -> Duration {
    let remaining = deadline::remaining().unwrap_or(DEFAULT_PATIENCE);
    remaining - MARGIN.min(remaining / 5)
}

/// The service took longer than it may.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("no answer in time")]
pub struct TooSlow;

/// Makes a call that must be answered within `limit`.
async fn within<F: Future>(limit: Duration, call: F) -> Result<F::Output, TooSlow> {
    // The deadline tells the other side; the timeout also covers an answer that begins and never ends.
    let call = deadline::scope(Instant::now() + limit, call);
    tokio::time::timeout(limit, call).await.map_err(|_| TooSlow)
}

/// What a status means that is none of the answers a service promises.
fn failure(dependency: &'static str, status: Status) -> Failure {
    if status.code() == Code::ResourceExhausted {
        return Failure::overloaded(status);
    }
    let passing = [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::Aborted];
    // A status with a source was made on this side, of a connection that broke.
    if passing.contains(&status.code()) || status.source().is_some() {
        Failure::unavailable(dependency, status)
    } else {
        Failure::unforeseen(format!("{dependency} answered: {status}"))
    }
}
