//! The background step that deletes what was over long ago, the oldest first and a little at a time. Several replicas may
//! do so at once.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use tracing::info;

use crate::{
    config::service::Retention,
    failure::Failure,
    worker::{Next, Step},
};

/// How many rows are looked at in one transaction.
pub const BATCH: i64 = 500;
/// Between two batches, so that calls hardly notice.
const PAUSE: Duration = Duration::from_millis(50);
/// How often to look when there is nothing left.
const LONG_PAUSE: Duration = Duration::from_secs(60);
/// After this, all is looked at from the beginning: what could not be deleted may be over by now.
const ROUND: Duration = Duration::from_secs(6 * 60 * 60);

/// What a batch came to.
#[derive(Debug, Clone)]
pub struct Forgotten<P> {
    pub deleted: i64,
    /// The place of the last row that was looked at and is old enough; `None` if there was none.
    pub last: Option<P>,
}

/// A table whose rows have places in the order of their age.
pub trait Past: Send + Sync + 'static {
    type Place: Clone + Send + Sync;

    /// Looks at the first [`BATCH`] rows behind a place, and deletes those that were over for so long.
    fn forget(
        &self,
        behind: Option<&Self::Place>,
        age: Duration,
    ) -> impl Future<Output = Result<Forgotten<Self::Place>, Failure>> + Send;
}

#[derive(Debug)]
pub struct Forget<P: Past> {
    past: P,
    age: Duration,
    behind: Option<P::Place>,
    began_at: Instant,
    deleted: i64,
}

impl<P: Past> Forget<P> {
    pub fn new(past: P, Retention(age): Retention) -> Self {
        Self { past, age, behind: None, began_at: Instant::now(), deleted: 0 }
    }
}

impl<P: Past> Step for Forget<P> {
    const NAME: &'static str = "forget";

    async fn step(&mut self) -> Result<Next, Failure> {
        if self.began_at.elapsed() > ROUND {
            (self.behind, self.began_at) = (None, Instant::now());
        }
        let Forgotten { deleted, last } = self.past.forget(self.behind.as_ref(), self.age).await?;
        self.deleted += deleted;
        if last.is_some() {
            self.behind = last;
            return Ok(Next::Idle(PAUSE));
        }
        let deleted = std::mem::take(&mut self.deleted);
        if deleted > 0 {
            info!(deleted, "what was over long ago is deleted");
        }
        Ok(Next::Idle(LONG_PAUSE))
    }
}
