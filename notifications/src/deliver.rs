//! The background step that delivers messages: one after the other, and for a while none at all when Telegram fails or asks
//! for a pause. A message of which the database does not take how its delivery went is not sent again, and holds back the
//! later ones of its order and nobody else's.

use std::time::{Duration, Instant};

use platform::{
    failure::{Failure, chain},
    skipped::Skipped,
    worker::{Next, Step},
};
use tracing::warn;

use crate::{
    domain::delivery::{Pace, Verdict},
    usecase::{Deliveries, deliver::Attempt},
};

/// How often to look for messages that nobody woke this step for: those of other replicas, and those whose pause is
/// over.
const POLL: Duration = Duration::from_millis(500);
/// If the database refuses more, it is not for the messages, and nothing more is sent.
const MAX_REFUSED: usize = 10;

pub struct Deliver {
    deliveries: Deliveries,
    /// How long to leave Telegram alone while it fails.
    rest: Pace,
    failures: u32,
    rest_until: Option<Instant>,
    /// An attempt that was made, until the database knows how it went.
    unsettled: Option<Attempt>,
    /// Attempts of which the database refused to know.
    refused: Vec<Attempt>,
    skipped: Skipped,
}

impl Deliver {
    pub fn new(deliveries: Deliveries, rest: Pace) -> Self {
        let skipped = Skipped::new(Self::NAME);
        Self { deliveries, rest, failures: 0, rest_until: None, unsettled: None, refused: Vec::new(), skipped }
    }

    /// Makes an attempt, and has the next steps rest as Telegram's answer asks for.
    async fn attempt(&mut self) -> Result<Option<Attempt>, Failure> {
        let except: Vec<i64> = self.refused.iter().map(Attempt::message).collect();
        let attempt = self.deliveries.attempt_next(&except).await?;
        match attempt.as_ref().map(|attempt| &attempt.verdict) {
            None => {}
            Some(Verdict::Sent | Verdict::Dead(_)) => self.failures = 0,
            Some(Verdict::Postponed { pause, rate_limited: true, .. }) => self.rest_for(*pause),
            Some(Verdict::Postponed { rate_limited: false, .. }) => {
                self.failures = self.failures.saturating_add(1);
                self.rest_for(self.rest.pause(self.failures));
            }
        }
        Ok(attempt)
    }

    /// Has the next attempts wait for a while.
    fn rest_for(&mut self, pause: Duration) {
        self.rest_until = Instant::now().checked_add(pause);
    }

    /// An attempt that the database refused to know of a while ago.
    fn refused_before(&mut self) -> Option<Attempt> {
        let skipped = self.skipped.items();
        let index = self.refused.iter().position(|attempt| !skipped.contains(&attempt.message()))?;
        Some(self.refused.remove(index))
    }
}

impl Step for Deliver {
    const NAME: &'static str = "deliver";

    async fn step(&mut self) -> Result<Next, Failure> {
        if self.unsettled.is_none() {
            self.unsettled = self.refused_before();
        }
        if self.unsettled.is_none() {
            // Messages that arrive during a rest wake the loop and must not cut the rest short.
            let left = self.rest_until.map(|until| until.saturating_duration_since(Instant::now()));
            if let Some(left) = left.filter(|left| !left.is_zero()) {
                return Ok(Next::Idle(left));
            }
            self.unsettled = self.attempt().await?;
        }
        let Some(attempt) = &self.unsettled else { return Ok(Next::Idle(POLL)) };
        // When this fails it is tried again before anything else is sent, so that the message is not sent twice.
        let settled = self.deliveries.settle(attempt).await;
        if let Err(failure) = settled {
            if !matches!(failure, Failure::Unforeseen(_)) || self.refused.len() >= MAX_REFUSED {
                return Err(failure);
            }
            let (message, error) = (attempt.message(), chain(&failure));
            warn!(message.id = message, error, "how a delivery went cannot be written down; its message is skipped");
            self.skipped.add(message, &failure);
            self.refused.extend(self.unsettled.take());
        }
        self.unsettled = None;
        Ok(Next::Worked)
    }
}
