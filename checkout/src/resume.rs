//! Takes up the purchases that calls have left in doubt. Several replicas may do so: each takes other ones.

use std::time::{Duration, Instant};

use futures::future::join_all;
use platform::{
    deadline,
    failure::Failure,
    worker::{Next, Step},
};
use tracing::info;

use crate::{
    clients::loms::Loms,
    config::PurchaseConfig,
    domain::purchase::{Audience, Outcome, Pending},
    metrics,
    store::Store,
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
        if due.is_empty() {
            return Ok(Next::Idle(backlog.next_in.unwrap_or(POLL.1).clamp(POLL.0, POLL.1)));
        }
        for driven in join_all(due.iter().map(|purchase| self.drive(purchase))).await {
            driven?;
        }
        Ok(Next::Worked)
    }
}

impl ResumePurchases {
    async fn drive(&self, purchase: &Pending) -> Result<(), Failure> {
        let driven = drive_purchase(&self.store, &self.loms, purchase, Audience::Nobody);
        let outcome = deadline::scope(Instant::now() + ATTEMPT, driven).await?;
        let (id, user) = (purchase.id, purchase.user);
        match outcome {
            Outcome::Ordered(order) => {
                info!(purchase.id = %id, user.id = %user, order.id = %order, "a purchase left in doubt is ordered");
            }
            Outcome::Refused(refusal) => {
                let reason = refusal.reason();
                info!(purchase.id = %id, user.id = %user, reason, "a purchase left in doubt is refused");
            }
        }
        Ok(())
    }
}
