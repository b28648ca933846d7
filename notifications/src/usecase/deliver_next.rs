//! The oldest message that is due goes to Telegram.

use std::time::Duration;

use platform::{failure::Failure, postgres::Database, telemetry::trace};
use tracing::{Instrument as _, info, info_span, warn};

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
    unsettled: Option<(Claim, Verdict)>,
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
            let verdict = self.attempt(&claim).await;
            self.unsettled = Some((claim, verdict));
        }
        let Some((claim, verdict)) = &self.unsettled else { return Ok(None) };
        // When this fails it is tried again before anything else is sent, so that the message is not sent twice.
        if !settle(&self.database, claim, verdict).await? {
            warn!(message = claim.message_id, "a delivery took longer than its claim; it may be made twice");
        }
        Ok(self.unsettled.take().map(|(_, verdict)| verdict))
    }

    async fn attempt(&self, claim: &Claim) -> Verdict {
        let span = info_span!(
            parent: None,
            "delivery",
            otel.name = "deliver message",
            message = claim.message_id,
            order = claim.order_id,
            attempt = claim.attempt(),
        );
        trace::set_parent(&span, claim.traceparent.as_deref());
        let send = async {
            let verdict = self.telegram.send(&claim.text).await.judge(claim.attempt(), &self.pace);
            report(&verdict);
            verdict
        };
        send.instrument(span).await
    }
}

/// Logs and counts an attempt, in its span.
fn report(verdict: &Verdict) {
    let result = match verdict {
        Verdict::Sent => {
            info!("message delivered");
            "sent"
        }
        Verdict::Postponed { pause, rate_limited, reason } => {
            warn!(pause_s = pause.as_secs_f64(), error = reason, "message not delivered; it is tried again");
            if *rate_limited { "rate_limited" } else { "failed" }
        }
        Verdict::Dead(reason) => {
            warn!(error = reason, "message refused for good");
            "dead"
        }
    };
    metrics::DELIVERIES.with_label_values(&[result]).inc();
}

async fn settle(database: &Database, claim: &Claim, verdict: &Verdict) -> Result<bool, Failure> {
    match verdict {
        Verdict::Sent => deliveries::mark_sent(database, claim).await,
        Verdict::Postponed { pause, reason, .. } => deliveries::postpone(database, claim, *pause, reason).await,
        Verdict::Dead(reason) => deliveries::mark_dead(database, claim, reason).await,
    }
}
