//! Whether a connection is used: a request that runs, or an answer that its caller still takes, keeps it open.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// What runs on a connection. Clones watch the same connection.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    began_at: Instant,
    running: AtomicUsize,
    /// When the last request began or ended, in milliseconds since `began_at`; 0 before the first.
    used_after_ms: AtomicU64,
    nothing_runs: Notify,
}

/// A request that runs, in the extensions of the request. What outlives the handler, such as an answer that goes on,
/// takes it along.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    // It is only held.
    _counted: Arc<Counted>,
}

#[derive(Debug)]
struct Counted(Arc<Inner>);

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Inner {
            began_at: Instant::now(),
            running: AtomicUsize::new(0),
            used_after_ms: AtomicU64::new(0),
            nothing_runs: Notify::new(),
        }))
    }

    pub(super) fn begin(&self) -> Running {
        self.0.running.fetch_add(1, Relaxed);
        self.0.touch();
        Running { _counted: Arc::new(Counted(Arc::clone(&self.0))) }
    }

    fn was_used(&self) -> bool {
        self.0.used_after_ms.load(Relaxed) > 0
    }

    /// Returns when nothing has run for too long: since the beginning, or since the last request.
    pub(super) async fn silence(&self, first_request_timeout: Duration, idle_timeout: Duration) {
        loop {
            let used_after = Duration::from_millis(self.0.used_after_ms.load(Relaxed));
            let left = if !self.was_used() {
                first_request_timeout.saturating_sub(self.0.began_at.elapsed())
            } else if self.0.running.load(Relaxed) > 0 {
                idle_timeout
            } else {
                idle_timeout.saturating_sub(self.0.began_at.elapsed().saturating_sub(used_after))
            };
            if left.is_zero() {
                return;
            }
            // A first request in the meantime begins the wait for the next one.
            tokio::time::sleep(left.min(idle_timeout)).await;
        }
    }

    /// Returns when nothing runs any more.
    pub(super) async fn end(&self) {
        while self.0.running.load(Relaxed) > 0 {
            self.0.nothing_runs.notified().await;
        }
    }
}

impl Inner {
    fn touch(&self) {
        let after_ms = u64::try_from(self.began_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used_after_ms.store(after_ms.max(1), Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.touch();
        if self.0.running.fetch_sub(1, Relaxed) == 1 {
            self.0.nothing_runs.notify_one();
        }
    }
}
