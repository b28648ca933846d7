//! The background step that delivers messages: as many as the chat may get, and for a while none at all when Telegram fails
//! or asks for a pause. A message of which the database does not take how its delivery went is not sent again, and holds back
//! the later ones of its order and nobody else's.

use std::{
    slice,
    time::{Duration, Instant},
};

use platform::{
    failure::{Failure, chain},
    skipped::Skipped,
    worker::{Next, Step},
};
use tracing::warn;

use crate::{
    domain::{
        delivery::{Pace, Verdict},
        pace::MAX_JOINED,
    },
    usecase::{
        Deliveries,
        deliver::{Attempt, Made},
    },
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
    /// Whether Telegram failed, or asked for a pause, when it was last spoken to.
    is_probing: bool,
    rest_until: Option<Instant>,
    /// How many messages may share a request: fewer after one of them was refused.
    most: usize,
    /// Attempts that were made, until the database knows how they went.
    unsettled: Vec<Attempt>,
    /// Attempts of which the database refused to know.
    refused: Vec<Attempt>,
    skipped: Skipped,
}

impl Deliver {
    pub fn new(deliveries: Deliveries, rest: Pace) -> Self {
        let skipped = Skipped::new(Self::NAME);
        Self {
            deliveries,
            rest,
            failures: 0,
            is_probing: false,
            rest_until: None,
            most: MAX_JOINED,
            unsettled: Vec::new(),
            refused: Vec::new(),
            skipped,
        }
    }

    /// Makes attempts, and has the next steps rest as Telegram's answers ask for. While Telegram fails or asks for
    /// pauses, one message at a time tries whether it still does.
    async fn attempt(&mut self) -> Result<Vec<Attempt>, Failure> {
        let (requests, most) = if self.is_probing { (1, 1) } else { (usize::MAX, self.most) };
        let except: Vec<i64> = self.refused.iter().map(Attempt::message).collect();
        let attempts = match self.deliveries.attempt_next(requests, most, &except).await? {
            Made::Attempts(attempts) => attempts,
            Made::NotYet(pause) => {
                self.rest_until = Instant::now().checked_add(pause);
                return Ok(Vec::new());
            }
        };
        let (mut asked, mut has_answered, mut has_failed, mut is_limited) = (None, false, false, false);
        for attempt in &attempts {
            match &attempt.verdict {
                Verdict::Sent | Verdict::Dead(_) => has_answered = true,
                Verdict::Apart(_) => self.most = attempts.len().div_ceil(2),
                Verdict::Postponed { rest, rate_limited, .. } => {
                    asked = asked.max(*rest);
                    has_failed |= rest.is_none();
                    is_limited |= rate_limited;
                }
            }
        }
        if has_answered {
            self.failures = 0;
            self.most = (2 * self.most).min(MAX_JOINED);
        }
        self.is_probing = is_limited || self.is_probing && !has_answered;
        if has_failed {
            self.failures = self.failures.saturating_add(1);
            asked = asked.max(Some(self.rest.pause(self.failures)));
        }
        if let Some(pause) = asked {
            self.rest_until = Instant::now().checked_add(pause);
            if is_limited {
                // If they are not told, Telegram will tell them.
                let _ = self.deliveries.rest(pause).await;
            }
        }
        Ok(attempts)
    }

    fn rest_left(&self) -> Option<Duration> {
        let left = self.rest_until?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Attempts that the database refused to know of a while ago.
    fn refused_before(&mut self) -> Vec<Attempt> {
        let skipped = self.skipped.items();
        self.refused.extract_if(.., |attempt| !skipped.contains(&attempt.message())).collect()
    }

    /// Writes down how the attempts went. Those that fail are tried again before anything else is sent, so that no message
    /// is sent twice.
    async fn settle(&mut self) -> Result<(), Failure> {
        match self.deliveries.settle(&self.unsettled).await {
            Ok(()) => self.unsettled.clear(),
            // The database may refuse one of them.
            Err(Failure::Unforeseen(_)) => {}
            Err(failure) => return Err(failure),
        }
        let (mut place, mut failed) = (0, Ok(()));
        while let Some(attempt) = self.unsettled.get(place) {
            let Err(failure) = self.deliveries.settle(slice::from_ref(attempt)).await else {
                self.unsettled.remove(place);
                continue;
            };
            if !matches!(failure, Failure::Unforeseen(_)) {
                return Err(failure);
            }
            if self.refused.len() >= MAX_REFUSED {
                // The others must be written down all the same, or they are sent again when their claims are over.
                place += 1;
                failed = Err(failure);
                continue;
            }
            let (message, error) = (attempt.message(), chain(&failure));
            warn!(message.id = message, error, "how a delivery went cannot be written down; its message is skipped");
            self.skipped.add(message, &failure);
            self.refused.push(self.unsettled.remove(place));
        }
        failed
    }
}

impl Step for Deliver {
    const NAME: &'static str = "deliver";

    async fn step(&mut self) -> Result<Next, Failure> {
        if self.unsettled.is_empty() {
            self.unsettled = self.refused_before();
        }
        if self.unsettled.is_empty() {
            // Messages that arrive during a rest wake the loop and must not cut the rest short.
            if let Some(left) = self.rest_left() {
                return Ok(Next::Idle(left));
            }
            self.unsettled = self.attempt().await?;
        }
        if self.unsettled.is_empty() {
            return Ok(Next::Idle(self.rest_left().map_or(POLL, |left| left.min(POLL))));
        }
        self.settle().await?;
        Ok(Next::Worked)
    }
}
