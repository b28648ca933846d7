//! What is asked of ProductService in the background, with the turns that users leave.

use std::{sync::atomic::Ordering, time::Duration};

use futures::future::join_all;
use platform::failure::{Error, Failure};
use proto::ids::Sku;

use super::{Catalogue, turns::Turn};
use crate::{domain::product::UnknownProduct, metrics, store::product};

/// How many products are asked for at once.
const BATCH: i64 = 4;
/// How long these are left alone, by other replicas while they are asked for, and by all after that was in vain.
pub const LEASE: Duration = Duration::from_secs(10);
/// How many products are noted as shown in one statement.
const NOTED: usize = 1000;

impl Catalogue {
    /// Notes what carts have shown since the last time; answers whether there was anything.
    pub async fn note_all_shown(&self) -> Result<bool, Failure> {
        let shown = std::mem::take(&mut *self.shown());
        let (skus, times): (Vec<_>, Vec<_>) = shown.into_iter().map(|(sku, times)| (i64::from(sku), times)).unzip();
        for (skus, times) in std::iter::zip(skus.chunks(NOTED), times.chunks(NOTED)) {
            // What is lost when it fails is noted when it is shown again.
            product::note_asked(&self.database, skus, times).await?;
        }
        Ok(!skus.is_empty())
    }

    /// Asks again for a few of the products that are due; answers how many there were. Fails if ProductService tells of
    /// none of them.
    pub async fn refresh(&self) -> Result<usize, Failure> {
        let due = product::take_due(&self.database, BATCH, self.max_stale / 2, LEASE).await?;
        let mut outcomes = join_all(due.iter().map(|sku| self.refresh_one(*sku))).await;
        match outcomes.pop() {
            Some(Err(failure)) if outcomes.iter().all(Result::is_err) => Err(failure),
            Some(Ok(()) | Err(_)) | None => Ok(due.len()),
        }
    }

    /// Users and other replicas may leave no turn for long, and the process ends without it: `None`.
    async fn turn_behind(&self) -> Result<Option<Turn>, Failure> {
        self.stop.run_until_cancelled(self.turns.turn_behind()).await.transpose()
    }

    async fn refresh_one(&self, sku: Sku) -> Result<(), Failure> {
        let Some(turn) = self.turn_behind().await? else { return Ok(()) };
        let (outcome, result) = match turn.call(self.products.get(sku)).await.answer {
            Ok(product) => ("told", self.keep(sku, &product).await),
            Err(Error::Refused(UnknownProduct(sku))) => ("unknown", self.forget(sku).await),
            Err(Error::Failure(failure)) => ("failed", Err(failure)),
        };
        metrics::PRODUCTS_REFRESHED.with([outcome]).inc();
        result
    }

    /// Whether products were added since it was asked last.
    pub fn has_news(&self) -> bool {
        self.has_news.swap(false, Ordering::Relaxed)
    }

    /// Reads which products there are, some of them, behind this one; answers the last one, if any were read.
    pub async fn read_list(&self, behind: u32) -> Result<Option<u32>, Failure> {
        let Some(turn) = self.turn_behind().await? else { return Ok(None) };
        let listed = match turn.call(self.products.list(behind)).await.answer {
            Ok(listed) => listed,
            Err(Error::Refused(never)) => match never {},
            Err(Error::Failure(failure)) => return Err(failure),
        };
        if !listed.is_empty() {
            let added = product::add(&self.database, &listed).await?;
            self.has_news.fetch_or(added > 0, Ordering::Relaxed);
        }
        Ok(listed.into_iter().map(Sku::get).max())
    }
}
