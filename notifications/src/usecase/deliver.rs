//! The oldest messages that are due go to Telegram.

use futures::future::join_all;
use platform::{failure::Failure, telemetry::trace};
use tracing::{Instrument as _, Span, field::Empty, info, info_span, warn};

use super::Deliveries;
use crate::{
    domain::delivery::Verdict,
    metrics,
    store::delivery::{self, Claim},
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

impl Deliveries {
    /// Makes attempts to deliver the next messages, all at once: one of an order and at most `limit`, but for those in
    /// `except`. They are then to be [settled](Self::settle).
    pub async fn attempt_next(&self, limit: usize, except: &[i64]) -> Result<Vec<Attempt>, Failure> {
        let claims = delivery::claim(&self.database, limit, self.lease, except).await?;
        Ok(join_all(claims.into_iter().map(|claim| self.attempt(claim))).await)
    }

    async fn attempt(&self, claim: Claim) -> Attempt {
        let span = span(&claim);
        let attempt = async {
            let answer = self.telegram.send(&claim.text, claim.attempt()).await;
            let verdict = answer.judge(claim.attempt(), &self.retry);
            report(&claim, &verdict);
            verdict
        };
        let verdict = attempt.instrument(span.clone()).await;
        Attempt { claim, verdict, span }
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
