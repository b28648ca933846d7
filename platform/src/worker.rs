//! Background work. One loop runs a step again and again. The loop sleeps when there is no work, backs off after a
//! failure, and stops only between two steps.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, field::Empty, info, info_span, warn};

use crate::{
    failure::{Failure, chain},
    metrics, skipped,
    telemetry::{
        steps::{IDLE, OUTCOME},
        trace,
    },
};

const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(50))
    // Jitter at most doubles it. After an outage, work still begins within a second.
    .with_max_delay(Duration::from_millis(400))
    .without_max_times()
    .with_jitter();

/// All that a step waits for ends much earlier: statements, calls, the broker's answers. A step that takes longer is given
/// up, with what it holds, and begun anew.
const STEP_LIMIT: Duration = Duration::from_secs(60);
/// However long a step wants to rest, it is run again by then, so that a worker that does not run can be told from one that
/// rests.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// A step that does not even end then is beyond help.
const STUCK_AFTER: Duration = Duration::from_secs(180);

/// What a step found, and when to run it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// There was work, and there may be more.
    Worked,
    /// There was no work. The next step runs after this time, or when the loop is woken.
    Idle(Duration),
}

pub trait Step: Send + 'static {
    /// The name in logs, metrics and traces.
    const NAME: &'static str;

    /// How long it rests after a failure; if it does not say, little at first, and longer with each that follows.
    const AFTER_FAILURE: Option<Duration> = None;

    /// Does a small piece of the work. After a failure, the loop calls this method again.
    fn step(&mut self) -> impl Future<Output = Result<Next, Failure>> + Send;
}

/// Ends the sleep of a loop. Clones wake the same loop.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// To be called when there is work. A call before the loop sleeps is not lost.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// When the steps of a worker began and succeeded.
#[derive(Debug)]
pub(crate) struct Progress {
    worker: &'static str,
    times: Mutex<Times>,
}

#[derive(Debug)]
struct Times {
    succeeded_at: Instant,
    /// `None` between two steps.
    began_at: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(worker: &'static str) -> Arc<Self> {
        let times = Times { succeeded_at: Instant::now(), began_at: None };
        Arc::new(Self { worker, times: Mutex::new(times) })
    }

    pub(crate) fn worker(&self) -> &'static str {
        self.worker
    }

    /// Whether a step goes on that should have ended long ago.
    pub(crate) fn is_stuck(&self) -> bool {
        self.times().began_at.is_some_and(|began_at| began_at.elapsed() > STUCK_AFTER)
    }

    pub(crate) fn update_metrics(&self) {
        let age = self.times().succeeded_at.elapsed().as_secs_f64();
        metrics::WORKER_SUCCESS_AGE.with_label_values(&[self.worker]).set(age);
    }

    /// A worker whose step takes far too long.
    #[cfg(test)]
    pub(crate) fn stuck(worker: &'static str) -> Arc<Self> {
        let progress = Self::new(worker);
        progress.times().began_at = Instant::now().checked_sub(2 * STUCK_AFTER);
        progress
    }

    fn began(&self) {
        self.times().began_at = Some(Instant::now());
    }

    fn ended(&self, has_succeeded: bool) {
        let mut times = self.times();
        times.began_at = None;
        if has_succeeded {
            times.succeeded_at = Instant::now();
        }
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a step again and again until `stop` is cancelled. A running step is finished first.
pub(crate) async fn run<S: Step>(mut step: S, wake: Wake, progress: Arc<Progress>, stop: CancellationToken) {
    skipped::declare_for(S::NAME);
    let count = |outcome: &str| metrics::WORKER_STEPS.with([S::NAME, outcome]);
    let (worked, idle, failed) = (count("worked"), count("idle"), count("failed"));
    let mut backoff = None;
    while !stop.is_cancelled() {
        let span = info_span!(
            parent: None,
            "step",
            otel.name = S::NAME,
            otel.status_code = Empty,
            "error.type" = Empty,
            worker = S::NAME,
            worker.outcome = Empty,
        );
        progress.began();
        let outcome = tokio::time::timeout(STEP_LIMIT, step.step()).instrument(span.clone()).await;
        let outcome =
            outcome.unwrap_or_else(|_| Err(Failure::unforeseen("the step did not come back within a minute")));
        progress.ended(outcome.is_ok());
        if outcome.is_ok() && backoff.take().is_some() {
            info!(worker = S::NAME, "works again");
        }
        let pause = match outcome {
            Ok(Next::Worked) => {
                span.record(OUTCOME, "worked");
                worked.inc();
                continue;
            }
            Ok(Next::Idle(pause)) => {
                span.record(OUTCOME, IDLE);
                idle.inc();
                pause.min(LONGEST_REST)
            }
            Err(failure) => {
                span.record(OUTCOME, "failed");
                trace::fail(&span, failure.kind());
                failed.inc();
                let error = chain(&failure);
                // Only the first failure in a row is news.
                match backoff {
                    None => span.in_scope(|| warn!(worker = S::NAME, error, "failed and is tried again")),
                    Some(_) => span.in_scope(|| debug!(worker = S::NAME, error, "failed again")),
                }
                let pause = backoff.get_or_insert_with(|| BACKOFF.build()).next().unwrap_or_default();
                S::AFTER_FAILURE.unwrap_or(pause)
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            // New work must not shorten the pause after a failure.
            () = wake.0.notified(), if backoff.is_none() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hangs, and then works once.
    struct Hangs {
        has_hung: bool,
        worked: CancellationToken,
    }

    impl Step for Hangs {
        const NAME: &'static str = "hangs";

        async fn step(&mut self) -> Result<Next, Failure> {
            if !std::mem::replace(&mut self.has_hung, true) {
                std::future::pending::<()>().await;
            }
            self.worked.cancel();
            Ok(Next::Idle(Duration::MAX))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_does_not_come_back_is_begun_anew_and_counts_as_failed() {
        let (worked, stop) = (CancellationToken::new(), CancellationToken::new());
        let step = Hangs { has_hung: false, worked: worked.clone() };
        let running = tokio::spawn(run(step, Wake::default(), Progress::new(Hangs::NAME), stop.clone()));
        worked.cancelled().await;
        stop.cancel();
        assert!(running.await.is_ok());
        assert_eq!(metrics::WORKER_STEPS.with([Hangs::NAME, "failed"]).get(), 1);
    }

    /// Never has work.
    struct Rests(u32);

    impl Step for Rests {
        const NAME: &'static str = "rests";

        async fn step(&mut self) -> Result<Next, Failure> {
            self.0 += 1;
            Ok(Next::Idle(Duration::MAX))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_rests_ends_a_step_each_minute_all_the_same() {
        let stop = CancellationToken::new();
        let running = tokio::spawn(run(Rests(0), Wake::default(), Progress::new(Rests::NAME), stop.clone()));
        tokio::time::sleep(10 * LONGEST_REST).await;
        stop.cancel();
        assert!(running.await.is_ok());
        assert!(metrics::WORKER_STEPS.with([Rests::NAME, "idle"]).get() >= 10);
    }

    #[test]
    fn a_worker_is_stuck_while_its_step_takes_too_long_and_not_while_it_rests() {
        let progress = Progress::new("worker");
        assert!(!progress.is_stuck());
        progress.began();
        assert!(!progress.is_stuck());
        let stuck = Progress::stuck("worker");
        assert!(stuck.is_stuck());
        stuck.ended(false);
        assert!(!stuck.is_stuck());
    }
}
