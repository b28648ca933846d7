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

    fn rest_for(&mut self, pause: Duration) -> Next {
        self.rest_until = Instant::now().checked_add(pause);
        Next::Idle(pause)
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
        match self.next.run().await? {
            None => Ok(Next::Idle(POLL)),
            Some(Verdict::Sent | Verdict::Dead(_)) => {
                self.failures = 0;
                Ok(Next::Worked)
            }
            Some(Verdict::Postponed { pause, rate_limited: true, .. }) => Ok(self.rest_for(pause)),
            Some(Verdict::Postponed { rate_limited: false, .. }) => {
                self.failures = self.failures.saturating_add(1);
                Ok(self.rest_for(self.rest.pause(self.failures)))
            }
        }
    }
}
