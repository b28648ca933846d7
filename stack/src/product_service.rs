//! A stand-in for ProductService, with the local catalogue, over TLS. Tests can make it fail, and can see its calls.

use std::{
    collections::BTreeMap,
    future,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use proto::product::{
    GetProductRequest, GetProductResponse, ListSkusRequest, ListSkusResponse,
    product_service_server::{ProductService as Rpc, ProductServiceServer, SERVICE_NAME},
};
use rustls::crypto::aws_lc_rs;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request, Response, Status,
    service::Routes,
    transport::{Identity, ServerTlsConfig},
};

use crate::{
    catalogue::{self, Product},
    certs::Issued,
    standin::{Faults, Server},
};

/// The only token that it accepts.
pub const TOKEN: &str = "testtoken";

/// In one answer of `ListSkus`.
const MAX_SKUS: u32 = 1000;

/// A running stand-in. Dropping it cuts every connection.
#[derive(Debug)]
pub struct ProductService {
    server: Server,
    shop: Arc<Shop>,
}

#[derive(Debug, Clone)]
pub enum Fault {
    /// The call is answered, but so much later.
    Delay(Duration),
    /// The answer is an error with this code.
    Answer(Code),
    /// The call is never answered.
    Hang,
}

/// A call that arrived.
#[derive(Debug, Clone)]
pub struct Call {
    pub at: Instant,
    pub method: &'static str,
    /// None for `ListSkus`.
    pub sku: Option<u32>,
}

impl ProductService {
    /// Port 0 means any free port.
    pub fn start(listen: SocketAddr, certificate: &Issued) -> anyhow::Result<Self> {
        let products = catalogue::products().context("the embedded catalogue is damaged")?;
        let shop = Arc::new(Shop { products: Mutex::new(products), ..Shop::default() });
        let routes = routes(Arc::clone(&shop))?;
        // The dependencies bring two providers, and tonic panics if nobody chooses one. An error means that a provider
        // is already installed.
        let _ = aws_lc_rs::default_provider().install_default();
        let identity = Identity::from_pem(&certificate.certificate, &certificate.key);
        let mut builder = tonic::transport::Server::builder().tls_config(ServerTlsConfig::new().identity(identity))?;
        let server = Server::start(listen, move |listener| async move {
            if let Err(error) = builder.add_routes(routes).serve_with_incoming(TcpListenerStream::new(listener)).await {
                tracing::error!(error = %error, "the product service ended");
            }
        })?;
        Ok(Self { server, shop })
    }

    /// Like [`start`](Self::start), with the certificate `product-service.pem` in the directory `certs`.
    pub fn start_with(listen: SocketAddr, certs: &Path) -> anyhow::Result<Self> {
        let read = |file: &str| {
            let path = certs.join(file);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let certificate = Issued { certificate: read("product-service.pem")?, key: read("product-service.key")? };
        Self::start(listen, &certificate)
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The address with a host name that is in the certificate.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address().port())
    }

    /// Queues a fault for `times` calls, behind earlier faults.
    pub fn misbehave(&self, fault: Fault, times: u32) {
        self.shop.faults.add(fault, times);
    }

    /// From now on, calls get no fault.
    pub fn behave(&self) {
        self.shop.faults.clear();
    }

    /// Whether it lists its products, as it does at first; if not, it still answers for each of them.
    pub fn set_listed(&self, is_listed: bool) {
        self.shop.is_hidden.store(!is_listed, Ordering::Relaxed);
    }

    /// Removes a product from the catalogue.
    pub fn remove(&self, sku: u32) {
        self.shop.products().remove(&sku);
    }

    /// Adds a product to the catalogue, or replaces it.
    pub fn put(&self, product: Product) {
        self.shop.products().insert(product.sku, product);
    }

    /// All calls so far, in order of arrival, also those that failed.
    pub fn calls(&self) -> Vec<Call> {
        self.shop.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn routes(shop: Arc<Shop>) -> anyhow::Result<Routes> {
    let (health, health_server) = tonic_health::server::health_reporter();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name(SERVICE_NAME)
        .with_service_name("grpc.health.v1.Health")
        .build_v1()?;
    let service = ProductServiceServer::from_arc(shop);
    // This does not wait: nobody else uses the new reporter yet.
    futures::executor::block_on(health.set_serving::<ProductServiceServer<Shop>>());
    Ok(Routes::new(service).add_service(health_server).add_service(reflection))
}

#[derive(Debug, Default)]
struct Shop {
    products: Mutex<BTreeMap<u32, Product>>,
    calls: Mutex<Vec<Call>>,
    faults: Faults<Fault>,
    is_hidden: AtomicBool,
}

impl Shop {
    fn products(&self) -> MutexGuard<'_, BTreeMap<u32, Product>> {
        self.products.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins every call: records it, applies the next fault, and checks the token.
    async fn admit(&self, method: &'static str, sku: Option<u32>, token: &str) -> Result<(), Status> {
        let call = Call { at: Instant::now(), method, sku };
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        match self.faults.take() {
            None => (),
            Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
            Some(Fault::Answer(code)) => return Err(Status::new(code, "asked to fail")),
            Some(Fault::Hang) => future::pending().await,
        }
        if token == TOKEN { Ok(()) } else { Err(Status::unauthenticated("wrong token")) }
    }
}

#[tonic::async_trait]
impl Rpc for Shop {
    async fn get_product(&self, request: Request<GetProductRequest>) -> Result<Response<GetProductResponse>, Status> {
        let GetProductRequest { token, sku } = request.into_inner();
        self.admit("GetProduct", Some(sku), &token).await?;
        let product = self.products().get(&sku).cloned();
        let Product { name, price, .. } = product.ok_or_else(|| Status::not_found(format!("no product {sku}")))?;
        Ok(Response::new(GetProductResponse { name, price }))
    }

    async fn list_skus(&self, request: Request<ListSkusRequest>) -> Result<Response<ListSkusResponse>, Status> {
        let ListSkusRequest { token, start_after_sku, count } = request.into_inner();
        if self.is_hidden.load(Ordering::Relaxed) {
            return Ok(Response::new(ListSkusResponse::default()));
        }
        self.admit("ListSkus", None, &token).await?;
        let count = count.min(MAX_SKUS) as usize;
        let after = (std::ops::Bound::Excluded(start_after_sku), std::ops::Bound::Unbounded);
        let skus = self.products().range(after).map(|(sku, _)| *sku).take(count).collect();
        Ok(Response::new(ListSkusResponse { skus }))
    }
}
