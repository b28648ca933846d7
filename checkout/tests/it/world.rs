//! What a test of checkout starts: a database, certificates, the stand-ins, and any number of checkouts.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    ops::Deref,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use checkout::config::Config;
use platform::service::{App, Service as _};
use proto::cart::{AddToCartRequest, DeleteFromCartRequest, ListCartRequest, PurchaseRequest, cart_client::CartClient};
use stack::testing::{Check, TestDatabase, eventually};
use stack::{
    certs::{Authority, Issued, generate},
    ports::loopback,
    product_service::{Call, ProductService, TOKEN},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::{
    Code, Request, Status,
    transport::{Certificate, ClientTlsConfig, Endpoint},
};
use tonic_types::StatusExt as _;

use crate::loms_stand_in::Loms;

/// What must hold whatever happened.
pub const CHECKS: &[Check] = &[
    (
        "what a cart holds fits together with what a pending purchase has set aside",
        "SELECT count(*) FROM (SELECT user_id, sku, sum(count) AS count FROM (\
             SELECT user_id, sku, count FROM cart_item UNION ALL \
             SELECT user_id, sku, count FROM purchase_item JOIN purchase ON id = purchase_id WHERE state = 'pending'\
         ) AS line GROUP BY user_id, sku) AS held \
         WHERE count > 65535 OR 100 < (SELECT count(*) FROM (\
             SELECT sku FROM cart_item WHERE user_id = held.user_id UNION \
             SELECT sku FROM purchase_item JOIN purchase ON id = purchase_id \
             WHERE state = 'pending' AND user_id = held.user_id) AS skus)",
    ),
    (
        "every purchase has lines",
        "SELECT count(*) FROM purchase WHERE NOT EXISTS (SELECT FROM purchase_item WHERE purchase_id = purchase.id)",
    ),
    (
        "no two purchases became the same order",
        "SELECT count(*) FROM (SELECT order_id FROM purchase GROUP BY order_id HAVING count(order_id) > 1) AS shared",
    ),
];

/// What checkout has around it.
pub struct World {
    pub database: TestDatabase,
    pub loms: Loms,
    pub products: Products,
    pub authority: Authority,
    certs: TempDir,
}

impl World {
    pub async fn new() -> Self {
        platform::tls::install_crypto_provider();
        let certs = tempfile::tempdir().unwrap();
        let authority = generate(certs.path()).unwrap();
        let database = TestDatabase::create(checkout::app::Checkout::migrations()).await.checked(CHECKS);
        let loms = Loms::start(certs.path()).await;
        let products = Products::start(certs.path());
        Self { database, loms, products, authority, certs }
    }

    pub fn cert(&self, file: &str) -> PathBuf {
        self.certs.path().join(file)
    }

    /// The text of a configuration file for this world, with ports chosen by the system.
    pub fn config_text(&self) -> String {
        let certs = self.certs.path().display();
        format!(
            "grpc: {{listen: '127.0.0.1:0', tls: {{certificate: {certs}/checkout.pem, key: {certs}/checkout.key}}}}\n\
             admin: {{listen: '127.0.0.1:0'}}\nhttp: {{listen: '127.0.0.1:0'}}\n\
             postgres: {{connection_string: '{}'}}\n\
             token: {TOKEN}\n\
             services: {{loms: '{}', products: '{}'}}\n\
             client_tls: {{ca: {certs}/ca.pem, certificate: {certs}/checkout.pem, key: {certs}/checkout.key}}\n",
            self.database.url,
            self.loms.url(),
            self.products.url(),
        )
    }

    /// The configuration of a checkout that leaves purchases in doubt alone for an hour. Where many callers crowd on a
    /// slow machine, it is their deadline that ends the wait for a connection.
    pub fn config(&self) -> Config {
        let mut config: Config = platform::config::parse("test.yaml", &self.config_text(), &|_| None).unwrap();
        config.service.postgres.acquire_timeout = Duration::from_secs(30);
        config.purchase.resume_after = Duration::from_secs(3600);
        config.purchase.resume_at_most = Duration::from_secs(3600);
        config
    }

    /// A checkout as [`config`](Self::config) has it.
    pub async fn checkout(&self) -> Checkout {
        self.checkout_with(|_| {}).await
    }

    /// A checkout with changes to that configuration.
    pub async fn checkout_with(&self, change: impl FnOnce(&mut Config)) -> Checkout {
        let mut config = self.config();
        change(&mut config);
        Checkout::start(config, fs::read_to_string(self.cert("ca.pem")).unwrap()).await
    }

    /// A checkout that takes up what is in doubt almost at once.
    pub async fn resuming_checkout(&self) -> Checkout {
        self.checkout_with(resume_soon).await
    }

    /// What the database says is in a user's cart.
    pub async fn cart(&self, user: i64) -> BTreeMap<u32, u32> {
        let rows: Vec<(i64, i32)> = sqlx::query_as("SELECT sku, count FROM cart_item WHERE user_id = $1")
            .bind(user)
            .fetch_all(&self.database.pool)
            .await
            .unwrap();
        rows.into_iter().map(|(sku, count)| (u32::try_from(sku).unwrap(), u32::try_from(count).unwrap())).collect()
    }

    /// The states of a user's purchases, in order.
    pub async fn purchases(&self, user: i64) -> Vec<String> {
        sqlx::query_scalar("SELECT state FROM purchase WHERE user_id = $1 ORDER BY created_at")
            .bind(user)
            .fetch_all(&self.database.pool)
            .await
            .unwrap()
    }

    /// Waits until nothing is pending any more.
    pub async fn all_settled(&self) {
        eventually("no purchase is pending", || async {
            let pending: i64 = sqlx::query_scalar("SELECT count(*) FROM purchase WHERE state = 'pending'")
                .fetch_one(&self.database.pool)
                .await
                .unwrap();
            (pending == 0).then_some(())
        })
        .await;
    }
}

/// The stand-in for ProductService, which can go and come back.
pub struct Products {
    standin: Option<ProductService>,
    address: SocketAddr,
    certs: PathBuf,
}

impl Products {
    fn start(certs: &Path) -> Self {
        let standin = ProductService::start_with(loopback(0), certs).unwrap();
        // Most tests count what is asked for carts.
        standin.set_listed(false);
        Self { address: standin.address(), standin: Some(standin), certs: certs.to_owned() }
    }

    pub fn die(&mut self) {
        self.standin = None;
    }

    /// Serves again on the address it had, having forgotten everything.
    pub async fn come_back(&mut self) {
        let start = || async { ProductService::start_with(self.address, &self.certs).ok() };
        self.standin = Some(eventually("the port of ProductService is free", start).await);
        self.set_listed(false);
    }

    /// The calls for a product so far, in order of arrival, also those that failed.
    pub fn lookups(&self) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.sku.is_some()).collect()
    }

    /// Serves again with this certificate.
    pub async fn come_back_with(&mut self, certificate: &Issued) {
        let start = || async { ProductService::start(self.address, certificate).ok() };
        self.standin = Some(eventually("the port of ProductService is free", start).await);
    }
}

impl Deref for Products {
    type Target = ProductService;

    fn deref(&self) -> &ProductService {
        self.standin.as_ref().expect("it runs")
    }
}

/// Has purchases in doubt taken up almost at once.
pub fn resume_soon(config: &mut Config) {
    config.purchase.resume_after = Duration::from_millis(20);
    config.purchase.resume_at_most = Duration::from_millis(100);
}

/// A running checkout, on a runtime of its own so that it can be killed. Dropping it kills it.
pub struct Checkout {
    runtime: Option<Runtime>,
    pub address: SocketAddr,
    /// HTTP/JSON.
    pub http: SocketAddr,
    pub ca: String,
}

impl Checkout {
    async fn start(config: Config, ca: String) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let app = runtime.spawn(App::<checkout::app::Checkout>::open(config)).await.unwrap().unwrap();
        let (address, http, admin) = (app.address(), app.http_address().unwrap(), app.admin_address());
        runtime.spawn(app.serve());
        stack::testing::until_ready(admin).await;
        Self { runtime: Some(runtime), address, http, ca }
    }

    /// A caller that trusts the fleet's CA, shows no certificate of its own, and gives up after ten seconds.
    pub fn client(&self) -> Client {
        self.client_with_deadline(Duration::from_secs(10))
    }

    pub fn client_with_deadline(&self, deadline: Duration) -> Client {
        Client::new(self.address, &self.ca, deadline)
    }

    /// Ends it as SIGKILL would: whatever runs is cut off where it is.
    pub fn kill(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// A channel to a checkout, opened at the first call.
pub fn connect(address: SocketAddr, ca: &str) -> CartClient<tonic::transport::Channel> {
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)).domain_name("checkout");
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap().tls_config(tls).unwrap();
    CartClient::new(endpoint.connect_lazy())
}

/// A shopper's client, a method for each call.
#[derive(Clone)]
pub struct Client {
    inner: CartClient<tonic::transport::Channel>,
    deadline: Duration,
}

impl Client {
    pub fn new(address: SocketAddr, ca: &str, deadline: Duration) -> Self {
        Self { inner: connect(address, ca), deadline }
    }

    /// The same connection, with another deadline.
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { inner: self.inner.clone(), deadline }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.deadline);
        request
    }

    pub async fn add(&self, user: i64, sku: u32, count: u32) -> Result<(), Status> {
        let request = self.request(AddToCartRequest { user, sku, count });
        self.inner.clone().add_to_cart(request).await.map(|_| ())
    }

    pub async fn delete(&self, user: i64, sku: u32, count: u32) -> Result<(), Status> {
        let request = self.request(DeleteFromCartRequest { user, sku, count });
        self.inner.clone().delete_from_cart(request).await.map(|_| ())
    }

    /// The lines as (sku, count, name, price), and the total.
    pub async fn list(&self, user: i64) -> Result<(Vec<(u32, u32, String, u32)>, u64), Status> {
        let answer = self.inner.clone().list_cart(self.request(ListCartRequest { user })).await?.into_inner();
        let lines = answer.items.into_iter().map(|item| (item.sku, item.count, item.name, item.price)).collect();
        Ok((lines, answer.total_price))
    }

    /// Purchases; the empty key is none.
    pub async fn purchase(&self, user: i64, key: &str) -> Result<i64, Status> {
        let request = self.request(PurchaseRequest { user, idempotency_key: key.to_owned() });
        self.inner.clone().purchase(request).await.map(|answer| answer.into_inner().order_id)
    }
}

/// Asserts what a refusal says on the wire.
#[track_caller]
pub fn assert_refused(status: &Status, code: Code, reason: &str, metadata: &[(&str, &str)]) {
    assert_eq!(status.code(), code, "{status:?}");
    let info = status.get_details_error_info().expect("a refusal carries google.rpc.ErrorInfo");
    assert_eq!((info.domain.as_str(), info.reason.as_str()), ("route256", reason));
    let expected = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    assert_eq!(info.metadata, expected);
}

/// Asserts that an answer took less than so long.
#[track_caller]
pub fn assert_within(limit: Duration, since: Instant) {
    assert!(since.elapsed() < limit, "took {:?}", since.elapsed());
}
