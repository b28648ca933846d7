//! A small service, and clients for it. The user of a call chooses the answer.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use platform::{
    config::{
        FromText as _, ServiceUrl,
        service::{ClientTlsConfig, CorsConfig, GrpcConfig, HttpConfig, ServerTlsConfig},
    },
    deadline,
    grpc::{
        client::{Channel, Resilience},
        server::router,
    },
    json, metrics,
    net::Port,
    telemetry::trace,
    tls::{ClientTls, install_crypto_provider},
};
use proto::cart::{
    AddToCartRequest, CartGoodInfo, DeleteFromCartRequest, ListCartRequest, ListCartResponse, PurchaseRequest,
    PurchaseResponse,
    cart_client::CartClient,
    cart_server::{Cart, CartServer},
};
use stack::certs::{self, Authority};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

/// Calls for this user panic.
pub const PANICS: i64 = 1;
/// Calls for this user wait for [`Script::go_on`].
pub const WAITS: i64 = 2;
/// Calls for this user are answered at once.
pub const ANSWERED: i64 = 3;
/// Calls for this user are UNAVAILABLE while [`Script::is_unavailable`].
pub const MAYBE: i64 = 5;
/// AddToCart for this user waits as well, and is UNAVAILABLE shortly before its deadline.
pub const OVERTAKEN: i64 = 6;
/// The answer of ListCart for this user has a mebibyte.
pub const LARGE: i64 = 4;

/// Shared by the service and the test.
#[derive(Default)]
pub struct Script {
    pub waiting: AtomicUsize,
    /// Ends the wait of all calls.
    pub go_on: CancellationToken,
    pub is_unavailable: AtomicBool,
}

impl Script {
    async fn answer(&self, user: i64) {
        assert_ne!(user, PANICS, "this user's calls panic");
        if user == WAITS {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            self.go_on.cancelled().await;
        }
    }
}

struct Scripted(Arc<Script>);

#[tonic::async_trait]
impl Cart for Scripted {
    async fn add_to_cart(&self, request: Request<AddToCartRequest>) -> Result<Response<()>, Status> {
        let user = request.into_inner().user;
        if user == OVERTAKEN {
            let time = deadline::remaining().unwrap_or_default().saturating_sub(Duration::from_millis(10));
            if tokio::time::timeout(time, self.0.go_on.cancelled()).await.is_err() {
                return Err(Status::unavailable("what it needs did not answer"));
            }
        }
        self.0.answer(user).await;
        Ok(Response::new(()))
    }

    async fn delete_from_cart(&self, _: Request<DeleteFromCartRequest>) -> Result<Response<()>, Status> {
        Ok(Response::new(()))
    }

    /// Answers with one item: the handler's trace is its name, the remaining milliseconds are its price.
    async fn list_cart(&self, request: Request<ListCartRequest>) -> Result<Response<ListCartResponse>, Status> {
        if request.get_ref().user == LARGE {
            let item = CartGoodInfo { name: "n".repeat(1024 * 1024), ..Default::default() };
            return Ok(Response::new(ListCartResponse { items: vec![item], total_price: 0 }));
        }
        let remaining = deadline::remaining().map_or(0, |remaining| remaining.as_millis());
        let traceparent =
            request.metadata().get(trace::TRACEPARENT).and_then(|value| value.to_str().ok()).unwrap_or("none");
        let item =
            CartGoodInfo { name: traceparent.into(), price: u32::try_from(remaining).unwrap(), ..Default::default() };
        Ok(Response::new(ListCartResponse { items: vec![item], total_price: 0 }))
    }

    async fn purchase(&self, request: Request<PurchaseRequest>) -> Result<Response<PurchaseResponse>, Status> {
        let user = request.into_inner().user;
        self.0.answer(user).await;
        if user == MAYBE && self.0.is_unavailable.load(Ordering::SeqCst) {
            return Err(Status::unavailable("not now"));
        }
        Ok(Response::new(PurchaseResponse { order_id: user }))
    }
}

pub struct World {
    pub script: Arc<Script>,
    pub certs: TempDir,
    pub authority: Authority,
    pub port: u16,
    /// HTTP/JSON.
    pub http_port: u16,
    pub drain: CancellationToken,
    pub served: JoinHandle<()>,
    pub http_served: JoinHandle<()>,
}

impl World {
    /// The server has the certificate of checkout. Callers need none.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut GrpcConfig)) -> Self {
        install_crypto_provider();
        let certs = tempfile::tempdir().unwrap();
        let authority = certs::generate(certs.path()).unwrap();
        let tls = ServerTlsConfig {
            certificate: certs.path().join("checkout.pem"),
            key: certs.path().join("checkout.key"),
            client_ca: None,
        };
        let mut config = GrpcConfig::new(([127, 0, 0, 1], 0).into(), Some(tls));
        change(&mut config);
        let script = Arc::new(Script::default());
        let http = HttpConfig { listen: ([127, 0, 0, 1], 0).into(), cors: CorsConfig::default() };
        let (port, door) = Port::open_public(&config, Some(&http)).await.unwrap();
        let door = door.unwrap();
        let address = port.address();
        let routes = platform::routes!(CartServer, Scripted(Arc::clone(&script)));
        let (_, health) = tonic_health::server::health_reporter();
        let drain = CancellationToken::new();
        let router =
            router(&config, "cart.Cart", &["AddToCart"], proto::DESCRIPTORS, routes, health, drain.clone()).unwrap();
        let http_port = door.address().port();
        let calls = json::router(&http, "cart.Cart", proto::DESCRIPTORS, "{}", router.clone()).unwrap();
        let served = tokio::spawn(port.serve(router, drain.clone()));
        let http_served = tokio::spawn(door.serve(calls, drain.clone()));
        Self { script, certs, authority, port: address.port(), http_port, drain, served, http_served }
    }

    /// A client that trusts the development CA and has no certificate.
    pub fn client(&self) -> CartClient<Channel> {
        self.client_of(&format!("https://localhost:{}", self.port), &self.certs.path().join("ca.pem"), None)
    }

    pub fn client_of(&self, url: &str, ca: &Path, identity: Option<(PathBuf, PathBuf)>) -> CartClient<Channel> {
        CartClient::new(self.channel(url, ca, identity))
    }

    pub fn channel(&self, url: &str, ca: &Path, identity: Option<(PathBuf, PathBuf)>) -> Channel {
        let tls = ClientTls::load(&ClientTlsConfig { ca: ca.into(), identity }).unwrap();
        let url = ServiceUrl::from_text(url).unwrap();
        Channel::new(&url, &tls, "cart.Cart", proto::DESCRIPTORS, Resilience::REPEAT).unwrap()
    }
}

pub fn purchase(user: i64) -> PurchaseRequest {
    PurchaseRequest { user, idempotency_key: String::new() }
}

/// Whether the metrics contain this sample now.
pub fn metrics_show(sample: &str) -> bool {
    let text = String::from_utf8(metrics::render().unwrap()).unwrap();
    text.lines().any(|line| line == sample)
}
