//! A stand-in for LOMS that keeps its promises on idempotency keys and stock, over TLS with client certificates, and
//! fails as it is told: before it has done what it was asked for, or after.

use std::{
    collections::{BTreeMap, VecDeque},
    future,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use platform::{
    config::service::{GrpcConfig, ServerTlsConfig},
    grpc::status::Violations,
    net::Port,
};
use proto::loms::{
    CancelOrderRequest, CreateOrderRequest, CreateOrderResponse, ListOrderRequest, ListOrderResponse,
    ListOrdersRequest, ListOrdersResponse, OrderPayedRequest, Stock, StocksRequest, StocksResponse,
    loms_server::{self, LomsServer},
};
use proto::refusal::{Reason, Refusal};
use stack::testing::eventually;
use tokio::{runtime::Runtime, sync::Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, service::Routes};

/// What one call of CreateOrder or Stocks meets.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// An error of this code, and nothing done.
    Fail(Code),
    /// No answer ever, and nothing done.
    Hang,
    /// The order is created, then it is an error of this code.
    DoThenFail(Code),
    /// The order is created, then there is no answer ever.
    DoThenHang,
    /// It waits at the gate, then does what it should.
    WaitAtGate,
}

/// An order, or the refusal that was recorded as one.
#[derive(Debug, Clone)]
pub struct Order {
    pub id: i64,
    pub user: i64,
    pub key: String,
    pub items: BTreeMap<u32, u32>,
    pub refusal: Option<Refusal>,
}

/// A running stand-in. Dropping it, or [`die`](Self::die), closes its port and cuts every connection.
pub struct Loms {
    runtime: Option<Runtime>,
    address: SocketAddr,
    certs: PathBuf,
    desk: Arc<Desk>,
}

impl Loms {
    pub async fn start(certs: &Path) -> Self {
        let mut loms = Self {
            runtime: None,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            certs: certs.to_owned(),
            desk: Arc::default(),
        };
        loms.come_back().await;
        loms
    }

    /// Serves, on the address it had before.
    pub async fn come_back(&mut self) {
        let pair = (self.certs.join("loms.pem"), self.certs.join("loms.key"));
        self.come_back_with(pair.0, pair.1, self.certs.join("ca.pem")).await;
    }

    /// Serves with this certificate, to callers of this CA.
    pub async fn come_back_with(&mut self, certificate: PathBuf, key: PathBuf, client_ca: PathBuf) {
        let tls = ServerTlsConfig { certificate, key, client_ca: Some(client_ca) };
        let config = GrpcConfig::new(self.address, Some(tls));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        // What was there before may still be closing the port.
        let open = || {
            let config = config.clone();
            let opening = runtime.spawn(async move { Port::open_public(&config, None).await });
            async { opening.await.unwrap().ok() }
        };
        let (port, _) = eventually("the port of LOMS is free", open).await;
        self.address = port.address();
        let router = Routes::new(LomsServer::from_arc(Arc::clone(&self.desk))).into_axum_router();
        runtime.spawn(port.serve(router, CancellationToken::new()));
        self.runtime = Some(runtime);
    }

    pub fn die(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// After those asked for before, the next call meets this fault.
    pub fn then(&self, fault: Fault) -> &Self {
        self.desk.state().faults.push_back(fault);
        self
    }

    /// Lets everybody who waits, or will, through the gate.
    pub fn open_gate(&self) {
        self.desk.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Of a SKU there are so many units; of others a million.
    pub fn stock(&self, sku: u32, units: u64) {
        self.desk.state().stock.insert(sku, units);
    }

    pub fn orders(&self) -> Vec<Order> {
        self.desk.state().orders.clone()
    }

    /// How many calls arrived, whatever became of them.
    pub fn calls(&self) -> usize {
        self.desk.state().calls
    }

    /// Waits until so many calls have arrived.
    pub async fn called(&self, times: usize) {
        eventually("LOMS is called", || async { (self.calls() >= times).then_some(()) }).await;
    }

    /// Waits until so many orders were created or refused.
    pub async fn ordered(&self, orders: usize) {
        eventually("LOMS has the order", || async { (self.orders().len() >= orders).then_some(()) }).await;
    }
}

impl Drop for Loms {
    fn drop(&mut self) {
        self.die();
    }
}

struct Desk {
    state: Mutex<State>,
    gate: Semaphore,
}

#[derive(Default)]
struct State {
    stock: BTreeMap<u32, u64>,
    orders: Vec<Order>,
    faults: VecDeque<Fault>,
    calls: usize,
}

impl Default for Desk {
    fn default() -> Self {
        Self { state: Mutex::default(), gate: Semaphore::new(0) }
    }
}

impl State {
    fn stock(&mut self, sku: u32) -> &mut u64 {
        self.stock.entry(sku).or_insert(1_000_000)
    }

    /// The order of that key, created now if there is none.
    fn order(&mut self, request: CreateOrderRequest) -> Result<i64, Status> {
        let CreateOrderRequest { user, items, idempotency_key: key } = request;
        if let Some(order) = self.orders.iter().find(|order| order.user == user && order.key == key) {
            return order.refusal.clone().map_or(Ok(order.id), |refusal| Err(refusal.into()));
        }
        let id = 1000 + i64::try_from(self.orders.len()).unwrap();
        let items: BTreeMap<u32, u32> = items.into_iter().map(|item| (item.sku, item.count)).collect();
        let short = items.iter().find(|(sku, count)| *self.stock(**sku) < u64::from(**count));
        let refusal = short.map(|(sku, count)| (*sku, *count)).map(|(sku, count)| {
            Refusal::new(Reason::InsufficientStock, format!("of SKU {sku} there is too little"))
                .with("order_id", id)
                .with("sku", sku)
                .with("requested", count)
                .with("available", *self.stock(sku))
        });
        if refusal.is_none() {
            for (sku, count) in &items {
                *self.stock(*sku) -= u64::from(*count);
            }
        }
        self.orders.push(Order { id, user, key, items, refusal: refusal.clone() });
        refusal.map_or(Ok(id), |refusal| Err(refusal.into()))
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn meet(&self) -> Result<Option<Fault>, Status> {
        let fault = {
            let mut state = self.state();
            state.calls += 1;
            state.faults.pop_front()
        };
        match fault {
            Some(Fault::Fail(Code::InvalidArgument)) => {
                let mut violations = Violations::default();
                violations.add("items", "are not to its liking");
                Err(violations.into())
            }
            Some(Fault::Fail(code)) => Err(Status::new(code, "asked to fail")),
            Some(Fault::Hang) => future::pending().await,
            Some(Fault::WaitAtGate) => {
                drop(self.gate.acquire().await.unwrap());
                Ok(None)
            }
            Some(Fault::DoThenFail(_) | Fault::DoThenHang) | None => Ok(fault),
        }
    }
}

#[tonic::async_trait]
impl loms_server::Loms for Desk {
    async fn create_order(
        &self,
        request: Request<CreateOrderRequest>,
    ) -> Result<Response<CreateOrderResponse>, Status> {
        let fault = self.meet().await?;
        let ordered = self.state().order(request.into_inner());
        match fault {
            Some(Fault::DoThenFail(code)) => return Err(Status::new(code, "asked to fail")),
            Some(Fault::DoThenHang) => future::pending().await,
            Some(Fault::Fail(_) | Fault::Hang | Fault::WaitAtGate) | None => {}
        }
        ordered.map(|order_id| Response::new(CreateOrderResponse { order_id }))
    }

    async fn stocks(&self, request: Request<StocksRequest>) -> Result<Response<StocksResponse>, Status> {
        self.meet().await?;
        let units = *self.state().stock(request.into_inner().sku);
        // Over two warehouses, so that somebody has to add up.
        let stocks =
            vec![Stock { warehouse_id: 1, count: units / 3 }, Stock { warehouse_id: 2, count: units - units / 3 }];
        Ok(Response::new(StocksResponse { stocks }))
    }

    async fn list_order(&self, _: Request<ListOrderRequest>) -> Result<Response<ListOrderResponse>, Status> {
        Err(Status::unimplemented("checkout has no use for it"))
    }

    async fn list_orders(&self, _: Request<ListOrdersRequest>) -> Result<Response<ListOrdersResponse>, Status> {
        Err(Status::unimplemented("checkout has no use for it"))
    }

    async fn order_payed(&self, _: Request<OrderPayedRequest>) -> Result<Response<()>, Status> {
        Err(Status::unimplemented("checkout has no use for it"))
    }

    async fn cancel_order(&self, _: Request<CancelOrderRequest>) -> Result<Response<()>, Status> {
        Err(Status::unimplemented("checkout has no use for it"))
    }
}
