//! ProductService: names and prices. It sets limits to its callers, so it is asked sparingly: answers are remembered for
//! a while, callers who want the same product at the same time share one call, and calls take turns.

mod limits;
mod shared;

use std::{sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use moka::future::Cache;
use platform::{
    failure::{Error, Failure},
    grpc::client::Channel,
    telemetry::trace,
};
use proto::{
    ids::Sku,
    product::{GetProductRequest, product_service_client::ProductServiceClient},
};
use secrecy::{ExposeSecret as _, SecretString};
use tonic::{Code, Status};
use tracing::{Instrument as _, Span, field::Empty, info_span};

use self::{limits::Limits, shared::Shared};
use super::{TooSlow, failure, patience, within};
use crate::{
    config::ProductsConfig,
    domain::product::{Product, UnknownProduct},
    metrics,
};

/// The name in failures.
const PRODUCT_SERVICE: &str = "ProductService";
/// How often a call that failed in passing is made again, and how long it waits before that.
const RETRY: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(50))
    .with_max_delay(Duration::from_secs(1))
    .with_max_times(3)
    .with_jitter();
/// The most products that are remembered.
const CACHE_CAPACITY: u64 = 100_000;

/// How a lookup ends.
type Looked = Result<Product, Error<UnknownProduct>>;

/// Looks products up.
#[derive(Clone)]
pub struct Products {
    calls: Arc<Calls>,
    shared: Arc<Shared<Sku, Looked>>,
    /// `None` where it is turned off.
    cache: Option<Cache<Sku, Product>>,
}

impl Products {
    pub fn new(channel: Channel, token: SecretString, config: &ProductsConfig) -> Self {
        let cache = Cache::builder().max_capacity(CACHE_CAPACITY).time_to_live(config.cache_ttl);
        let calls = Calls {
            client: ProductServiceClient::new(channel),
            token,
            limits: Limits::new(config.rate_per_second, config.max_concurrent),
            attempt_timeout: config.attempt_timeout,
        };
        Self {
            calls: Arc::new(calls),
            shared: Arc::default(),
            cache: (!config.cache_ttl.is_zero()).then(|| cache.build()),
        }
    }

    /// Looks a product up, waiting for its turn no longer than the running request can.
    pub async fn product(&self, sku: Sku) -> Looked {
        if let Some(product) = self.cached(sku).await {
            count("hit");
            return Ok(product);
        }
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
            let found = tokio::time::timeout(patience(), lookup).await;
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

    async fn cached(&self, sku: Sku) -> Option<Product> {
        match &self.cache {
            Some(cache) => cache.get(&sku).await,
            None => None,
        }
    }

    async fn look_up(&self, sku: Sku) -> Looked {
        // The lookup before this one may have ended after the caller looked into the cache.
        if let Some(product) = self.cached(sku).await {
            return Ok(product);
        }
        let call = || self.calls.get_product(sku);
        let product = call.retry(RETRY).when(may_pass).await.inspect_err(mark)?;
        if let Some(cache) = &self.cache {
            cache.insert(sku, product.clone()).await;
        }
        Ok(product)
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

struct Calls {
    client: ProductServiceClient<Channel>,
    token: SecretString,
    limits: Limits,
    attempt_timeout: Duration,
}

impl Calls {
    async fn get_product(&self, sku: Sku) -> Looked {
        let request = GetProductRequest { token: self.token.expose_secret().to_owned(), sku: sku.get() };
        let mut client = self.client.clone();
        let turn = self.limits.turn().await;
        let answer = within(self.attempt_timeout, client.get_product(request)).await;
        if matches!(&answer, Ok(answer) if arrived(answer)) {
            turn.answered();
        }
        match answer {
            Ok(Ok(answer)) => {
                let answer = answer.into_inner();
                Ok(Product { name: answer.name.into(), price: answer.price })
            }
            Ok(Err(status)) => Err(refused(sku, status)),
            Err(slow) => Err(Failure::unavailable(PRODUCT_SERVICE, slow).into()),
        }
    }
}

/// Whether a call has arrived at ProductService for sure; these codes may be our own, of a call that is still on its way.
fn arrived<T>(answer: &Result<T, Status>) -> bool {
    const ON_ITS_WAY: [Code; 3] = [Code::DeadlineExceeded, Code::Unavailable, Code::Cancelled];
    answer.as_ref().err().is_none_or(|status| !ON_ITS_WAY.contains(&status.code()))
}

fn refused(sku: Sku, status: Status) -> Error<UnknownProduct> {
    if status.code() == Code::NotFound {
        return Error::Refused(UnknownProduct(sku));
    }
    let failure = if status.code() == Code::Unauthenticated {
        // Its text stays out of the log, for it may quote the token.
        Failure::unforeseen("ProductService refuses the token of the configuration")
    } else if [Code::Internal, Code::Unknown, Code::DataLoss, Code::ResourceExhausted].contains(&status.code()) {
        // Asking for a product changes nothing: whatever ProductService stumbles over, it may be asked again. Its quota
        // is checkout's to keep, no matter how much shoppers ask.
        Failure::unavailable(PRODUCT_SERVICE, status)
    } else {
        failure(PRODUCT_SERVICE, status)
    };
    failure.into()
}

fn count(source: &str) {
    metrics::PRODUCT_LOOKUPS.with([source]).inc();
}
