//! Reports every call exactly once, at either end: when it is answered, or when its future is dropped.

use std::time::{Duration, Instant};

use tonic::{Code, Status};

/// Timers are inexact: a call that is dropped this long before its deadline counts as dropped at the deadline.
pub(super) const DEADLINE_TOLERANCE: Duration = Duration::from_millis(20);

/// Reports the code of a call, its status if it failed, and its duration. A guard that is dropped before
/// [`finish`](Self::finish) reports DEADLINE_EXCEEDED, or CANCELLED if the caller hung up before the deadline.
pub(super) struct CallGuard<R: FnMut(Code, Option<&Status>, Duration)> {
    report: R,
    started_at: Instant,
    timeout: Duration,
    is_finished: bool,
}

impl<R: FnMut(Code, Option<&Status>, Duration)> CallGuard<R> {
    pub(super) fn start(timeout: Duration, report: R) -> Self {
        Self { report, started_at: Instant::now(), timeout, is_finished: false }
    }

    pub(super) fn finish(mut self, code: Code, status: Option<&Status>) {
        self.is_finished = true;
        (self.report)(code, status, self.started_at.elapsed());
    }
}

impl<R: FnMut(Code, Option<&Status>, Duration)> Drop for CallGuard<R> {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        let duration = self.started_at.elapsed();
        let status = if duration + DEADLINE_TOLERANCE >= self.timeout {
            Status::deadline_exceeded("given up at the deadline, unanswered")
        } else {
            Status::cancelled("given up, unanswered")
        };
        (self.report)(status.code(), Some(&status), duration);
    }
}
