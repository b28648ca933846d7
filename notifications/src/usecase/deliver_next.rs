//! The oldest message that is due goes to Telegram.

use std::time::Duration;

use platform::{failure::Failure, postgres::Database, telemetry::trace};
use tracing::{Instrument as _, Span, field::Empty, info, info_span, warn};

use crate::{
    clients::telegram::Telegram,
    domain::delivery::{Pace, Verdict},
    metrics,
    store::deliveries::{self, Claim},
};

/// Delivers messages, one at a time.
pub struct DeliverNext {
    database: Database,
    telegram: Telegram,
    pace: Pace,
    lease: Duration,
    /// What became of a message, until the database knows.
    unsettled: Option<Attempt>,
}

/// An attempt that was made, in its span.
struct Attempt {
    claim: Claim,
    verdict: Verdict,
    span: Span,
}

impl DeliverNext {
    /// Delivers what is due in `database`. A message whose delivery is cut off is tried again after `lease`, which is
    /// longer than a request to Telegram can take.
    pub fn new(database: Database, telegram: Telegram, pace: Pace, lease: Duration) -> Self {
        Self { database, telegram, pace, lease, unsettled: None }
    }

    /// Makes one attempt and answers how it went; `None` when nothing is due.
    pub async fn run(&mut self) -> Result<Option<Verdict>, Failure> {
        if self.unsettled.is_none() {
            let Some(claim) = deliveries::claim(&self.database, self.lease).await? else { return Ok(None) };
            let span = span(&claim);
            let verdict = self.attempt(&claim).instrument(span.clone()).await;
            self.unsettled = Some(Attempt { claim, verdict, span });
        }
        let Some(Attempt { claim, verdict, span }) = &self.unsettled else { return Ok(None) };
        // When this fails it is tried again before anything else is sent, so that the message is not sent twice.
        if !settle(&self.database, claim, verdict).instrument(span.clone()).await? {
            span.in_scope(|| warn!("a delivery took longer than its claim; it may be made twice"));
        }
        Ok(self.unsettled.take().map(|attempt| attempt.verdict))
    }

    async fn attempt(&self, claim: &Claim) -> Verdict {
        let answer = self.telegram.send(&claim.text, claim.attempt()).await;
        let verdict = answer.judge(claim.attempt(), &self.pace);
        report(claim, &verdict);
        verdict
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
        order.id = claim.order_id,
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
        Verdict::Postponed { pause, rate_limited, reason } => {
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
    metrics::DELIVERIES.with_label_values(&[failed.unwrap_or("sent")]).inc();
}

async fn settle(database: &Database, claim: &Claim, verdict: &Verdict) -> Result<bool, Failure> {
    match verdict {
        Verdict::Sent => deliveries::mark_sent(database, claim).await,
        Verdict::Postponed { pause, reason, .. } => deliveries::postpone(database, claim, *pause, reason).await,
        Verdict::Dead(reason) => deliveries::mark_dead(database, claim, reason).await,
    }
}
