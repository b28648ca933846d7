//! The background step that takes up the purchases that calls have left in doubt. Several replicas may do so: each takes
//! other ones.

use std::time::{Duration, Instant};

use futures::future::join_all;
use platform::{
    deadline,
    failure::{Failure, chain},
    skipped::Skipped,
    telemetry::trace,
    worker::{Next, Step},
};
use tracing::{Instrument as _, Span, field::Empty, info, info_span, warn};

use crate::{
    config::PurchaseConfig,
    domain::purchase::{Outcome, PurchaseId},
    store::purchase::{self, DuePurchase},
    usecase::Carts,
};

/// How many purchases are driven at once.
const BATCH: i64 = 16;
/// How long one may take; shorter than the grace period of a process that stops.
const ATTEMPT: Duration = Duration::from_secs(5);
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Drives pending purchases to their end.
pub struct Resume {
    pub carts: Carts,
    /// How long to wait between attempts.
    pub config: PurchaseConfig,
    /// The purchases that could not be brought to their end when they were last tried.
    pub skipped: Skipped<PurchaseId>,
}

impl Step for Resume {
    const NAME: &'static str = "resume_purchases";

    async fn step(&mut self) -> Result<Next, Failure> {
        // Forgets those that a call or another replica has brought to their end.
        self.skipped.items();
        // Most looks find nothing that is due.
        let next = purchase::next_due(&self.carts.database).await?.unwrap_or(LONGEST_PAUSE);
        if !next.is_zero() {
            return Ok(Next::Idle(next.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)));
        }
        let PurchaseConfig { resume_after, resume_at_most } = self.config;
        let due = purchase::take_due(&self.carts.database, BATCH, resume_after, resume_at_most).await?;
        if due.is_empty() {
            // Others have taken it.
            return Ok(Next::Idle(SHORTEST_PAUSE));
        }
        for driven in join_all(due.iter().map(|due| self.drive(due).instrument(span(due)))).await {
            driven?;
        }
        Ok(Next::Worked)
    }
}

impl Resume {
    /// Drives a purchase to its end, in its span.
    async fn drive(&self, DuePurchase { purchase, .. }: &DuePurchase) -> Result<(), Failure> {
        let driven = self.carts.drive(purchase);
        let driven = tokio::time::timeout(ATTEMPT, deadline::scope(Instant::now() + ATTEMPT, driven)).await;
        let driven = driven.unwrap_or_else(|slow| Err(Failure::unavailable("checkout", slow)));
        if driven.is_ok() {
            self.skipped.remove(purchase.id);
        }
        match driven {
            Ok(Outcome::Ordered(order)) => info!(order.id = order.get(), "a purchase left in doubt is ordered"),
            Ok(Outcome::Refused(refusal)) => {
                info!(reason = refusal.reason(), "a purchase left in doubt is refused");
            }
            Err(failure) => {
                trace::fail(&Span::current(), failure.kind());
                // A defect concerns this purchase, which is due again later, and is told with its id. What else fails,
                // such as LOMS, fails for all of them: the step tells it once.
                if !matches!(failure, Failure::Unforeseen(_)) {
                    return Err(failure);
                }
                self.skipped.add(purchase.id, &failure);
                warn!(error = chain(&failure), "a purchase left in doubt cannot be brought to its end");
            }
        }
        Ok(())
    }
}

/// The span of an attempt, in the trace of the step. It is linked to the call that began the purchase, which is over.
fn span(DuePurchase { purchase, traceparent }: &DuePurchase) -> Span {
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
