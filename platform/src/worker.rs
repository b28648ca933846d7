//! Background work: one loop that drives a step again and again, sleeps when there is nothing to do, backs off when it
//! fails, and stops between two steps.

use std::{future::Future, sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, field::Empty, info, info_span, warn};

use crate::{
    failure::{Failure, chain},
    metrics,
    telemetry::{
        steps::{IDLE, OUTCOME},
        trace,
    },
};

/// How long the loop waits after a failure, doubling with each that follows.
const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(50))
    // Doubled by jitter at the most: work that is due within a second still is when a dependency comes back.
    .with_max_delay(Duration::from_millis(400))
    .without_max_times()
    .with_jitter();

/// What a step found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// There was work, and there may be more.
    Worked,
    /// There was none; look again after this time, or when woken.
    Idle(Duration),
}

/// One kind of background work.
pub trait Step: Send + 'static {
    /// Its name in logs, metrics and traces.
    const NAME: &'static str;

    /// Does a small piece of it. A failure is retried by calling it again.
    fn step(&mut self) -> impl Future<Output = Result<Next, Failure>> + Send;
}

/// Wakes a loop before its time; clones wake the same loop.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// Says that there is work.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// Drives a step until `stop`; a step that runs then is finished first.
pub async fn run<S: Step>(mut step: S, wake: Wake, stop: CancellationToken) {
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
        let outcome = step.step().instrument(span.clone()).await;
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
                pause
            }
            Err(failure) => {
                span.record(OUTCOME, "failed");
                trace::fail(&span, failure.kind());
                failed.inc();
                let error = chain(&failure);
                // The first failure of a row is news, the next ones are not.
                match backoff {
                    None => span.in_scope(|| warn!(worker = S::NAME, error, "failed and is tried again")),
                    Some(_) => span.in_scope(|| debug!(worker = S::NAME, error, "failed again")),
                }
                backoff.get_or_insert_with(|| BACKOFF.build()).next().unwrap_or_default()
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            // After a failure, work that arrives is no reason to hurry.
            () = wake.0.notified(), if backoff.is_none() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
