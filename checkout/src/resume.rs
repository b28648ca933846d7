//! Takes up the purchases that calls have left in doubt. Several replicas may do so: each takes other ones.

use std::time::{Duration, Instant};

use futures::future::join_all;
use platform::{
    deadline,
    failure::Failure,
    telemetry::trace,
    worker::{Next, Step},
};
use tracing::{Instrument as _, Span, field::Empty, info, info_span};

use crate::{
    clients::loms::Loms,
    config::PurchaseConfig,
    domain::purchase::{Audience, Outcome},
    metrics,
    store::{Due, Store},
    usecase::drive_purchase::drive_purchase,
};

/// How many purchases are driven at once.
const BATCH: i64 = 16;
/// How long LOMS may take for one; shorter than the grace period of a process that stops.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How often to look for work: at least, and at most.
const POLL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Drives pending purchases to their end.
pub struct ResumePurchases {
    /// Where they are.
    pub store: Store,
    /// Who creates their orders.
    pub loms: Loms,
    /// How long to wait between attempts.
    pub config: PurchaseConfig,
}

impl Step for ResumePurchases {
    const NAME: &'static str = "resume_purchases";

    async fn step(&mut self) -> Result<Next, Failure> {
        let due = self.store.take_due(BATCH, self.config.resume_after, self.config.resume_at_most).await?;
        let backlog = self.store.backlog().await?;
        metrics::PURCHASES_PENDING.set(backlog.pending);
        metrics::OLDEST_PENDING_SECONDS.set(backlog.oldest_seconds);
        if due.is_empty() {
            return Ok(Next::Idle(backlog.next_in.unwrap_or(POLL.1).clamp(POLL.0, POLL.1)));
        }
        for driven in join_all(due.iter().map(|due| self.drive(due).instrument(span(due)))).await {
            driven?;
        }
        Ok(Next::Worked)
    }
}

impl ResumePurchases {
    /// Drives a purchase to its end, in its span.
    async fn drive(&self, Due { purchase, .. }: &Due) -> Result<(), Failure> {
        let driven = drive_purchase(&self.store, &self.loms, purchase, Audience::Nobody);
        match deadline::scope(Instant::now() + ATTEMPT, driven).await {
            Ok(Outcome::Ordered(order)) => info!(order.id = order.get(), "a purchase left in doubt is ordered"),
            Ok(Outcome::Refused(refusal)) => {
                info!(reason = refusal.reason(), "a purchase left in doubt is refused");
            }
            Err(failure) => {
                trace::fail(&Span::current(), failure.kind());
                return Err(failure);
            }
        }
        Ok(())
    }
}

/// The span of an attempt, in the trace of the step; it is linked to the call that began the purchase, which is
/// over.
fn span(Due { purchase, traceparent }: &Due) -> Span {
    let span = info_span!(
        "resume purchase",
        otel.status_code = Empty,
        "error.type" = Empty,
        purchase.id = %purchase.id,
        user.id = purchase.user.get(),
    );
    trace::link(&span, traceparent.as_deref());
    span
}
