//! A stand-in for ProductService, with the local catalogue, over TLS. Tests make it misbehave and see which calls
//! reached it, and when.

use std::{
    collections::BTreeMap,
    future,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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

/// The token it accepts.
pub const TOKEN: &str = "testtoken";

/// The most SKUs in one answer of `ListSkus`.
const PAGE: u32 = 1000;

/// A running stand-in. Dropping it cuts every connection.
#[derive(Debug)]
pub struct ProductService {
    server: Server,
    shop: Arc<Shop>,
}

/// What a call may meet instead of its answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Its answer, but so much later.
    Delay(Duration),
    /// An error of this code.
    Answer(Code),
    /// Nothing, ever.
    Hang,
}

/// A call that arrived.
#[derive(Debug, Clone)]
pub struct Call {
    /// When.
    pub at: Instant,
    /// The name of the method.
    pub method: &'static str,
    /// The product asked about; none for `ListSkus`.
    pub sku: Option<u32>,
}

impl ProductService {
    /// Starts one with this certificate; port 0 stands for any free one.
    pub fn start(listen: SocketAddr, certificate: &Issued) -> anyhow::Result<Self> {
        let products = catalogue::products().context("the embedded catalogue is damaged")?;
        let shop =
            Arc::new(Shop { products: Mutex::new(products), calls: Mutex::default(), faults: Faults::default() });
        let routes = routes(Arc::clone(&shop))?;
        // Two providers are built in by way of the dependencies; tonic panics rather than choose. An error means that
        // somebody chose before.
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

    /// As [`start`](Self::start), with the certificate of that name in a directory made by [`crate::certs`].
    pub fn start_with(listen: SocketAddr, certs: &Path) -> anyhow::Result<Self> {
        let read = |file: &str| {
            let path = certs.join(file);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let certificate = Issued { certificate: read("product-service.pem")?, key: read("product-service.key")? };
        Self::start(listen, &certificate)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Its address for clients, by a name that its certificate is valid for.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address().port())
    }

    /// After those asked for before, the next `times` calls meet this fault.
    pub fn misbehave(&self, fault: Fault, times: u32) {
        self.shop.faults.add(fault, times);
    }

    /// From now on calls are answered properly.
    pub fn behave(&self) {
        self.shop.faults.clear();
    }

    /// Takes a product out of the catalogue.
    pub fn remove(&self, sku: u32) {
        self.shop.products().remove(&sku);
    }

    /// Puts a product into the catalogue, or changes the one that is there.
    pub fn put(&self, product: Product) {
        self.shop.products().insert(product.sku, product);
    }

    /// Every call so far, in order of arrival, whatever it was answered.
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
    // Nothing else writes to a reporter that was just made, so this is ready at once.
    futures::executor::block_on(health.set_serving::<ProductServiceServer<Shop>>());
    Ok(Routes::new(service).add_service(health_server).add_service(reflection))
}

#[derive(Debug)]
struct Shop {
    products: Mutex<BTreeMap<u32, Product>>,
    calls: Mutex<Vec<Call>>,
    faults: Faults<Fault>,
}

impl Shop {
    fn products(&self) -> MutexGuard<'_, BTreeMap<u32, Product>> {
        self.products.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What every call goes through: it is noted, meets its fault, and shows its token.
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
        self.admit("ListSkus", None, &token).await?;
        let count = count.min(PAGE) as usize;
        let after = (std::ops::Bound::Excluded(start_after_sku), std::ops::Bound::Unbounded);
        let skus = self.products().range(after).map(|(sku, _)| *sku).take(count).collect();
        Ok(Response::new(ListSkusResponse { skus }))
    }
}
