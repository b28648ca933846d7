//! The oldest messages that are due go to Telegram, as many as the chat may get. When more wait than that, they share a
//! request.

use std::time::Duration;

use futures::future::join_all;
use platform::{failure::Failure, postgres::Transaction, telemetry::trace};
use tracing::{Instrument as _, Span, field::Empty, info, info_span, warn};

use super::Deliveries;
use crate::{
    domain::{
        delivery::Verdict,
        pace::{Allowance, MAX_JOINED, Room, Waiting, join, share},
    },
    metrics,
    store::{
        delivery::{self, Claim},
        telegram_pace,
    },
};

/// An attempt that was made, in its span.
pub struct Attempt {
    claim: Claim,
    pub verdict: Verdict,
    span: Span,
}

impl Attempt {
    pub fn message(&self) -> i64 {
        self.claim.message_id
    }
}

/// What could be done.
pub enum Made {
    Attempts(Vec<Attempt>),
    /// None, for the chat may get nothing for so long.
    NotYet(Duration),
}

/// What is to be sent.
enum Claimed {
    /// By the requests that they share.
    Messages(Vec<Vec<Claim>>),
    NotYet(Duration),
}

impl Deliveries {
    /// Makes attempts to deliver the next messages, but for those in `except`, with so many requests at most, all at once,
    /// each for no more than `most` messages. They are then to be [settled](Self::settle).
    pub async fn attempt_next(&self, requests: usize, most: usize, except: &[i64]) -> Result<Made, Failure> {
        if !delivery::is_any_due(&self.database).await? {
            return Ok(Made::Attempts(Vec::new()));
        }
        let claim = |transaction| self.claim(transaction, requests, most, except);
        Ok(match self.database.transact("claim_deliveries", claim).await? {
            Claimed::NotYet(pause) => Made::NotYet(pause),
            Claimed::Messages(claims) => {
                let attempts = join_all(claims.into_iter().map(|claims| self.attempt(claims))).await;
                Made::Attempts(attempts.into_iter().flatten().collect())
            }
        })
    }

    async fn claim(
        &self,
        mut transaction: Transaction,
        requests: usize,
        most: usize,
        except: &[i64],
    ) -> Result<Claimed, Failure> {
        let chat = self.telegram.chat();
        let until_full = telegram_pace::lock(&mut transaction, &chat).await?;
        let room = match self.allowance.room(until_full) {
            Room::For(room) => room.min(requests),
            Room::NotFor(pause) => {
                transaction.release().await?;
                return Ok(Claimed::NotYet(pause));
            }
        };
        let waiting = delivery::waiting(&mut transaction, MAX_JOINED, except).await?;
        let texts: Vec<_> = waiting.iter().map(|Claim { order, text, .. }| Waiting { order: *order, text }).collect();
        let shares = share(&texts, room, most);
        let shares: Vec<Vec<&Claim>> =
            shares.iter().map(|places| places.iter().filter_map(|place| waiting.get(*place)).collect()).collect();
        if shares.is_empty() {
            transaction.release().await?;
            return Ok(Claimed::Messages(Vec::new()));
        }
        delivery::claim(&mut transaction, &shares.concat(), self.lease).await?;
        let spent = self.allowance.interval * u32::try_from(shares.len()).map_err(Failure::unforeseen)?;
        telegram_pace::spend(&mut transaction, &chat, spent).await?;
        transaction.commit().await?;
        Ok(Claimed::Messages(shares.into_iter().map(|share| share.into_iter().cloned().collect()).collect()))
    }

    /// Delivers messages by a request that they share, in the span of the first of them.
    async fn attempt(&self, claims: Vec<Claim>) -> Vec<Attempt> {
        let together = claims.len();
        let spans: Vec<_> = claims.iter().map(span).collect();
        let [first, others @ ..] = &spans[..] else { return Vec::new() };
        for other in others {
            trace::link_to_span(other, first);
        }
        metrics::MESSAGES_TOGETHER.observe(f64::from(u16::try_from(together).unwrap_or(u16::MAX)));
        let text = join(claims.iter().map(|claim| &*claim.text));
        let number = claims.iter().map(Claim::attempt).min().unwrap_or(1);
        let answer = self.telegram.send(&text, number).instrument(first.clone()).await;
        let attempt = |(claim, span): (Claim, Span)| {
            let verdict = answer.clone().judge(claim.failure(), together, &self.retry);
            span.in_scope(|| report(&claim, &verdict));
            Attempt { claim, verdict, span }
        };
        std::iter::zip(claims, spans).map(attempt).collect()
    }

    /// Has the other replicas, too, leave the chat alone for so long.
    pub async fn rest(&self, pause: Duration) -> Result<(), Failure> {
        let Allowance { burst, interval } = self.allowance;
        let until_full = pause.saturating_add(interval * burst.saturating_sub(1));
        telegram_pace::rest(&self.database, &self.telegram.chat(), until_full).await
    }

    /// Writes down how attempts went, of all or, when it fails, of none.
    pub async fn settle(&self, attempts: &[Attempt]) -> Result<(), Failure> {
        let verdicts = attempts.iter().map(|attempt| (&attempt.claim, &attempt.verdict));
        let settled = delivery::settle(&self.database, verdicts).await?;
        for attempt in attempts.iter().filter(|attempt| !settled.contains(&attempt.message())) {
            attempt.span.in_scope(|| warn!("a delivery took longer than its claim; it may be made twice"));
        }
        Ok(())
    }
}

/// The span of an attempt, in the trace in which the event was read; it is linked to the step that makes it.
fn span(claim: &Claim) -> Span {
    let span = info_span!(
        parent: None,
        "deliver message",
        otel.status_code = Empty,
        "error.type" = Empty,
        message.id = claim.message_id,
        order.id = claim.order.get(),
        delivery.attempt = i64::from(claim.attempt()),
    );
    trace::set_parent(&span, claim.traceparent.as_deref());
    trace::link_to_current(&span);
    span
}

/// Logs, counts and traces an attempt, in its span.
fn report(claim: &Claim, verdict: &Verdict) {
    let failed = match verdict {
        Verdict::Sent => {
            metrics::DELIVERY_AGE_SECONDS.observe(metrics::age_seconds(claim.occurred_at));
            info!("message delivered");
            None
        }
        Verdict::Postponed { pause, rate_limited, reason, .. } => {
            warn!(pause_s = pause.as_secs_f64(), error = reason, "message not delivered; it is tried again");
            Some(if *rate_limited { "rate_limited" } else { "failed" })
        }
        Verdict::Apart(reason) => {
            // It is not known of which of them Telegram speaks.
            info!(error = reason, "message not delivered with others; it is tried again with fewer");
            return;
        }
        Verdict::Dead(reason) => {
            warn!(error = reason, "message refused for good");
            Some("dead")
        }
    };
    if let Some(failed) = failed {
        trace::fail(&Span::current(), failed);
    }
    metrics::DELIVERIES.with([failed.unwrap_or("sent")]).inc();
}
