//! ProductService: names and prices. Whoever calls it has taken a turn (`usecase/catalogue/turns.rs`).

use std::{convert::Infallible, time::Duration};

use platform::{
    failure::{Error, Failure},
    grpc::client::Channel,
};
use proto::{
    ids::Sku,
    product::{GetProductRequest, ListSkusRequest, product_service_client::ProductServiceClient},
};
use secrecy::{ExposeSecret as _, SecretString};
use tonic::{Code, Response, Status};

use super::{failure, within};
use crate::domain::product::{Product, UnknownProduct};

/// The name in failures.
pub const PRODUCT_SERVICE: &str = "ProductService";
/// How many SKUs are asked for in one call.
const PAGE: u32 = 1000;

#[derive(Clone)]
pub struct Products {
    client: ProductServiceClient<Channel>,
    token: SecretString,
    attempt_timeout: Duration,
}

/// What became of a call.
pub struct Attempt<T, R> {
    /// Whether it came to its end at ProductService for sure; else it may still be on its way.
    pub is_over: bool,
    pub answer: Result<T, Error<R>>,
}

impl Products {
    pub fn new(channel: Channel, token: SecretString, attempt_timeout: Duration) -> Self {
        Self { client: ProductServiceClient::new(channel), token, attempt_timeout }
    }

    /// The longest that a call takes.
    pub fn attempt_timeout(&self) -> Duration {
        self.attempt_timeout
    }

    /// Asks for a product once.
    pub async fn get(&self, sku: Sku) -> Attempt<Product, UnknownProduct> {
        let request = GetProductRequest { token: self.token(), sku: sku.get() };
        let answer = within(self.attempt_timeout, self.client.clone().get_product(request)).await;
        Attempt::of(answer, |status| refused(sku, status))
            .map(|answer| Product { name: answer.name.into(), price: answer.price })
    }

    /// Asks once for the first SKUs of the catalogue behind this one; none are left where there are none.
    pub async fn list(&self, behind: u32) -> Attempt<Vec<Sku>, Infallible> {
        let request = ListSkusRequest { token: self.token(), start_after_sku: behind, count: PAGE };
        let answer = within(self.attempt_timeout, self.client.clone().list_skus(request)).await;
        let skus = |answer: proto::product::ListSkusResponse| answer.skus.into_iter().map(Sku::try_from).collect();
        let attempt = Attempt::of(answer, |status| Error::Failure(failed(status)));
        let Attempt { is_over, answer } = attempt.map(skus);
        let answer = answer.and_then(|skus: Result<Vec<_>, _>| Ok(skus.map_err(Failure::unforeseen)?));
        Attempt { is_over, answer }
    }

    fn token(&self) -> String {
        self.token.expose_secret().to_owned()
    }
}

impl<T, R> Attempt<T, R> {
    fn of(
        answer: Result<Result<Response<T>, Status>, super::TooSlow>,
        refused: impl FnOnce(Status) -> Error<R>,
    ) -> Self {
        /// These codes may be our own, of a call that is still on its way.
        const ON_ITS_WAY: [Code; 3] = [Code::DeadlineExceeded, Code::Unavailable, Code::Cancelled];
        match answer {
            Ok(Ok(answer)) => Self { is_over: true, answer: Ok(answer.into_inner()) },
            Ok(Err(status)) => Self { is_over: !ON_ITS_WAY.contains(&status.code()), answer: Err(refused(status)) },
            Err(slow) => Self { is_over: false, answer: Err(Failure::unavailable(PRODUCT_SERVICE, slow).into()) },
        }
    }

    fn map<U>(self, map: impl FnOnce(T) -> U) -> Attempt<U, R> {
        Attempt { is_over: self.is_over, answer: self.answer.map(map) }
    }
}

fn refused(sku: Sku, status: Status) -> Error<UnknownProduct> {
    if status.code() == Code::NotFound { Error::Refused(UnknownProduct(sku)) } else { failed(status).into() }
}

fn failed(status: Status) -> Failure {
    if status.code() == Code::Unauthenticated {
        // Its text stays out of the log, for it may quote the token.
        Failure::unforeseen("ProductService refuses the token of the configuration")
    } else if [Code::Internal, Code::Unknown, Code::DataLoss, Code::ResourceExhausted].contains(&status.code()) {
        // Asking changes nothing: whatever ProductService stumbles over, it may be asked again. Its quota is checkout's
        // to keep, no matter how much shoppers ask.
        Failure::unavailable(PRODUCT_SERVICE, status)
    } else {
        failure(PRODUCT_SERVICE, status)
    }
}
