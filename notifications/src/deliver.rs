//! Delivers messages in the background: one after the other, and for a while none at all when Telegram fails or asks for
//! a pause.

use std::time::{Duration, Instant};

use platform::{
    failure::Failure,
    worker::{Next, Step},
};

use crate::{
    domain::delivery::{Pace, Verdict},
    usecase::deliver_next::DeliverNext,
};

/// How often to look for messages that nobody woke this step for: those of other replicas, and those whose pause is
/// over.
const POLL: Duration = Duration::from_millis(500);

/// The step.
pub struct Deliver {
    next: DeliverNext,
    /// How long to leave Telegram alone while it fails.
    rest: Pace,
    failures: u32,
    rest_until: Option<Instant>,
}

impl Deliver {
    /// Makes deliveries, resting at the pace of `rest` while they fail.
    pub fn new(next: DeliverNext, rest: Pace) -> Self {
        Self { next, rest, failures: 0, rest_until: None }
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
        let Some(verdict) = self.next.run().await? else { return Ok(Next::Idle(POLL)) };
        match verdict {
            Verdict::Sent | Verdict::Dead(_) => self.failures = 0,
            Verdict::Postponed { pause, rate_limited: true, .. } => self.rest_for(pause),
            Verdict::Postponed { rate_limited: false, .. } => {
                self.failures = self.failures.saturating_add(1);
                self.rest_for(self.rest.pause(self.failures));
            }
        }
        Ok(Next::Worked)
    }
}
