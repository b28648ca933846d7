//! The background step that delivers messages: one after the other, and for a while none at all when Telegram fails or asks
//! for a pause.

use std::time::{Duration, Instant};

use platform::{
    failure::Failure,
    worker::{Next, Step},
};

use crate::{
    domain::delivery::{Pace, Verdict},
    usecase::{Deliveries, deliver::Attempt},
};

/// How often to look for messages that nobody woke this step for: those of other replicas, and those whose pause is
/// over.
const POLL: Duration = Duration::from_millis(500);

pub struct Deliver {
    deliveries: Deliveries,
    /// How long to leave Telegram alone while it fails.
    rest: Pace,
    failures: u32,
    rest_until: Option<Instant>,
    /// An attempt that was made, until the database knows how it went.
    unsettled: Option<Attempt>,
}

impl Deliver {
    pub fn new(deliveries: Deliveries, rest: Pace) -> Self {
        Self { deliveries, rest, failures: 0, rest_until: None, unsettled: None }
    }

    /// Has the next steps find nothing to do for a while.
    fn rest_for(&mut self, pause: Duration) {
        self.rest_until = Instant::now().checked_add(pause);
    }
}

impl Step for Deliver {
    const NAME: &'static str = "deliver";

    async fn step(&mut self) -> Result<Next, Failure> {
        // Messages that arrive during a rest wake the loop and must not cut the rest short.
        let left = self.rest_until.map(|until| until.saturating_duration_since(Instant::now()));
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            return Ok(Next::Idle(left));
        }
        if self.unsettled.is_none() {
            self.unsettled = self.deliveries.attempt_next().await?;
        }
        let Some(attempt) = &self.unsettled else { return Ok(Next::Idle(POLL)) };
        // When this fails it is tried again before anything else is sent, so that the message is not sent twice.
        self.deliveries.settle(attempt).await?;
        match self.unsettled.take().map(|attempt| attempt.verdict) {
            Some(Verdict::Sent | Verdict::Dead(_)) | None => self.failures = 0,
            Some(Verdict::Postponed { pause, rate_limited: true, .. }) => self.rest_for(pause),
            Some(Verdict::Postponed { rate_limited: false, .. }) => {
                self.failures = self.failures.saturating_add(1);
                self.rest_for(self.rest.pause(self.failures));
            }
        }
        Ok(Next::Worked)
    }
}
