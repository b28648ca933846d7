//! A call under way, at either end: reported once, when it ends or when it is given up.

use std::time::{Duration, Instant};

use tonic::{Code, Status};

/// How much earlier than the deadline a call may seem to be given up that was given up for it.
const SLACK: Duration = Duration::from_millis(20);

/// Reports its code, its status if it failed, and how long it took. One that is dropped was given up: at its deadline, or
/// before because somebody hung up.
pub(super) struct Running<R: FnMut(Code, Option<&Status>, Duration)> {
    report: R,
    began: Instant,
    timeout: Duration,
    is_over: bool,
}

impl<R: FnMut(Code, Option<&Status>, Duration)> Running<R> {
    /// Begins now, and may take as long as `timeout`.
    pub(super) fn begin(timeout: Duration, report: R) -> Self {
        Self { report, began: Instant::now(), timeout, is_over: false }
    }

    /// It was answered.
    pub(super) fn end(mut self, code: Code, status: Option<&Status>) {
        self.is_over = true;
        (self.report)(code, status, self.began.elapsed());
    }
}

impl<R: FnMut(Code, Option<&Status>, Duration)> Drop for Running<R> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let took = self.began.elapsed();
        let status = if took + SLACK >= self.timeout {
            Status::deadline_exceeded("given up at the deadline, unanswered")
        } else {
            Status::cancelled("given up, unanswered")
        };
        (self.report)(status.code(), Some(&status), took);
    }
}
