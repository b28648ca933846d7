//! Puts checkout together: the only place that sees all of it.

use std::net::SocketAddr;

use anyhow::Context as _;
use platform::{
    cli::{NoCommands, Service},
    grpc::{
        client::Channel,
        server::{MAX_REQUEST_BYTES, router},
    },
    net::Port,
    postgres::Database,
    process::Process,
    tls::ClientTls,
    worker::Wake,
};
use proto::{DESCRIPTORS, cart::cart_server::CartServer};
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::{
    clients::{loms::Loms, products::Products},
    config::Config,
    grpc::Cart,
    metrics,
    resume::ResumePurchases,
    store::Store,
};

/// The full name of the service.
const SERVICE: &str = "cart.Cart";

/// The checkout service, for the command line.
#[derive(Debug)]
pub enum Checkout {}

impl Service for Checkout {
    const NAME: &'static str = "checkout";
    const CONFIG_VARIABLE: &'static str = "CHECKOUT_CONFIG";
    type Config = Config;
    type Commands = NoCommands;

    fn migrations() -> Migrator {
        sqlx::migrate!("../migrations/checkout")
    }

    async fn serve(config: Config) -> anyhow::Result<()> {
        App::open(config).await?.serve().await
    }

    async fn run(command: NoCommands, _config: Config) -> anyhow::Result<()> {
        match command {}
    }
}

/// Checkout with its ports open, so that a taken one is noticed before anything else starts.
pub struct App {
    config: Config,
    loms: Loms,
    products: Products,
    port: Port,
    process: Process,
}

impl App {
    /// Opens the ports.
    pub async fn open(config: Config) -> anyhow::Result<Self> {
        metrics::declare();
        let client_tls = ClientTls::load(&config.client_tls).context("client_tls")?;
        let channel = |url, service| Channel::new(url, &client_tls, service, DESCRIPTORS);
        let loms = Loms::new(channel(&config.services.loms, "loms.Loms")?);
        let products = channel(&config.services.products, "route256.product.ProductService")?;
        let products = Products::new(products, config.token.clone(), &config.products);
        let port = Port::open_public(&config.service.grpc).await?;
        let process = Process::start(Checkout::NAME, SERVICE, &config.service).await?;
        Ok(Self { config, loms, products, port, process })
    }

    /// Where callers reach it.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Where operators reach it.
    pub fn admin_address(&self) -> SocketAddr {
        self.process.admin_address()
    }

    /// Stops it when cancelled, as SIGTERM does.
    pub fn stop(&self) -> CancellationToken {
        self.process.stop()
    }

    /// Answers calls and does the background work until it is told to stop.
    pub async fn serve(self) -> anyhow::Result<()> {
        let Self { config, loms, products, port, process } = self;
        let migrations = Checkout::migrations();
        let connecting = Database::connect(Checkout::NAME, &config.service.postgres, &migrations);
        let Some(database) = process.unless_stopped(connecting).await.transpose()? else { return Ok(()) };
        let store = Store::new(database.clone());

        let resume_after = config.purchase.resume_after;
        let resume = ResumePurchases { store: store.clone(), loms: loms.clone(), config: config.purchase };
        let server =
            CartServer::new(Cart { store, loms, products, resume_after }).max_decoding_message_size(MAX_REQUEST_BYTES);
        let router = router(&config.service.grpc, SERVICE, DESCRIPTORS, Routes::new(server), process.health())?;

        process.work(resume, Wake::default());
        process.serve(port, router, database).await
    }
}
