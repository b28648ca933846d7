//! What the shop knows of its products: names and prices as ProductService tells them, kept for all replicas. It sets
//! limits to its callers, so it is asked in the background, and by a cart only for what is not known, or not lately:
//! callers who want the same product at the same time share one call, and calls take turns.

mod queue;
mod refresh;
mod shared;
mod turns;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::{Duration, Instant},
};

use backon::{ExponentialBuilder, Retryable as _};
use platform::{
    deadline,
    failure::{Error, Failure, chain},
    postgres::Database,
    telemetry::trace,
};
use proto::ids::{Sku, UserId};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, field::Empty, info_span, warn};

pub use self::refresh::LEASE;
use self::{shared::Shared, turns::Turns};
use crate::{
    clients::{
        TooSlow, patience,
        products::{PRODUCT_SERVICE, Products},
    },
    domain::product::{Kept, Product, UnknownProduct},
    metrics,
    store::product,
};

/// How often a call that failed in passing is made again, and how long it waits before that.
const RETRY: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(50))
    .with_max_delay(Duration::from_secs(1))
    .with_max_times(3)
    .with_jitter();
/// How long a cart waits for what is newer than what is kept.
const PATIENCE_WITH_KEPT: Duration = Duration::from_millis(500);
/// After such a wait was for nothing, others do not wait for so long.
const REST: Duration = Duration::from_secs(5);
/// How long a statement about a product may take, whoever waits for it: it is shared.
const STATEMENT: Duration = Duration::from_secs(2);

/// How a lookup ends.
type Looked = Result<Product, Error<UnknownProduct>>;

/// Clones share what is under way.
#[derive(Clone)]
pub struct Catalogue {
    database: Database,
    products: Products,
    turns: Turns,
    max_age: Duration,
    max_stale: Duration,
    shared: Arc<Shared<Sku, Looked>>,
    /// How often carts showed a product since it was noted.
    shown: Arc<Mutex<BTreeMap<Sku, i32>>>,
    /// Until when nobody waits for what is newer than what is kept.
    rests_until: Arc<Mutex<Option<Instant>>>,
    /// Products were added that nobody has asked for.
    has_news: Arc<AtomicBool>,
    /// Who waits for a turn in the background waits no longer than until this.
    stop: CancellationToken,
}

/// How the catalogue is kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub in_a_second: u16,
    pub at_once: u16,
    pub max_age: Duration,
    pub max_stale: Duration,
}

impl Catalogue {
    pub fn new(database: Database, products: Products, limits: Limits) -> Self {
        let Limits { in_a_second, at_once, max_age, max_stale } = limits;
        let turns = Turns::new(database.clone(), in_a_second, at_once, products.attempt_timeout());
        let (shared, shown, rests_until, has_news, stop) = Default::default();
        Self { database, products, turns, max_age, max_stale, shared, shown, rests_until, has_news, stop }
    }

    /// The same catalogue for work that no caller waits for, until the process stops.
    #[must_use]
    pub fn background(&self, stop: CancellationToken) -> Self {
        Self { database: self.database.background(), stop, ..self.clone() }
    }

    /// A product for the cart of a user, and its age: what is kept if it is fresh, else what ProductService says, else what
    /// is kept.
    pub async fn product(&self, user: UserId, sku: Sku, kept: Option<Kept>) -> Result<Kept, Error<UnknownProduct>> {
        let Some(kept) = kept.filter(|kept| kept.age <= self.max_stale) else {
            let product = self.look_up_for(user, sku, patience()).await?;
            return Ok(Kept { product, age: Duration::ZERO });
        };
        self.note_shown(sku);
        if kept.age <= self.max_age {
            count("hit");
            return Ok(kept);
        }
        if !self.rests() {
            match self.look_up_for(user, sku, PATIENCE_WITH_KEPT.min(patience())).await {
                Ok(product) => return Ok(Kept { product, age: Duration::ZERO }),
                Err(Error::Refused(unknown)) => return Err(Error::Refused(unknown)),
                Err(Error::Failure(_)) => self.rest(),
            }
        }
        count("old");
        Ok(kept)
    }

    /// Looks a product up, waiting for its turn no longer than so long.
    async fn look_up_for(&self, user: UserId, sku: Sku, patience: Duration) -> Looked {
        let _want = self.turns.want(user, sku);
        let (lookup, joined) = self.shared.join(sku, || {
            let this = self.clone();
            // Part of the call that begins it, which it may outlive.
            let span =
                info_span!("look up product", otel.status_code = Empty, "error.type" = Empty, sku = i64::from(sku));
            async move { this.look_up(sku).await }.instrument(span)
        });
        // The lookup belongs to all who wait for it, so it is not the deadline of one that ends it: it ends when it
        // is done, or when nobody waits any more.
        let lookup = async {
            let found = timeout(patience, lookup).await;
            found.map_err(|_| Failure::unavailable(PRODUCT_SERVICE, TooSlow))?
        };
        match joined {
            None => {
                count("miss");
                lookup.await
            }
            Some(other) => {
                count("joined");
                let span = info_span!(
                    "wait for product",
                    otel.status_code = Empty,
                    "error.type" = Empty,
                    sku = i64::from(sku)
                );
                trace::link(&span, trace::traceparent(&other).as_deref());
                async { lookup.await.inspect_err(mark) }.instrument(span).await
            }
        }
    }

    async fn look_up(&self, sku: Sku) -> Looked {
        let ask = || async {
            let turn = self.turns.turn(sku).await?;
            turn.call(self.products.get(sku)).await.answer
        };
        let answer = ask.retry(RETRY).when(may_pass).await;
        let kept = match &answer {
            Ok(product) => self.keep(sku, product).await,
            Err(Error::Refused(UnknownProduct(sku))) => self.forget(*sku).await,
            Err(Error::Failure(_)) => Ok(()),
        };
        if let Err(failure) = kept {
            warn!(sku = i64::from(sku), error = chain(&failure), "what ProductService said cannot be kept");
        }
        answer.inspect_err(mark)
    }

    async fn keep(&self, sku: Sku, product: &Product) -> Result<(), Failure> {
        // What shoppers look at is asked again in the background well before it is too old to be shown at once.
        let keep = product::keep(&self.database, sku, product, self.max_age / 2);
        deadline::scope(Instant::now() + STATEMENT, keep).await
    }

    async fn forget(&self, sku: Sku) -> Result<(), Failure> {
        deadline::scope(Instant::now() + STATEMENT, product::forget(&self.database, sku)).await
    }

    fn shown(&self) -> MutexGuard<'_, BTreeMap<Sku, i32>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_shown(&self, sku: Sku) {
        let mut shown = self.shown();
        let times = shown.entry(sku).or_default();
        *times = times.saturating_add(1);
    }

    fn rests(&self) -> bool {
        let until = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn rest(&self) {
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + REST);
    }
}

/// Marks the span of the lookup, or of the wait for it, as failed.
fn mark(error: &Error<UnknownProduct>) {
    match error {
        Error::Refused(_) => {}
        Error::Failure(failure) => trace::fail(&Span::current(), failure.kind()),
    }
}

fn may_pass(error: &Error<UnknownProduct>) -> bool {
    matches!(error, Error::Failure(Failure::Unavailable { .. }))
}

fn count(source: &str) {
    metrics::PRODUCT_LOOKUPS.with([source]).inc();
}
