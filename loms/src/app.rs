//! Puts LOMS together.

use std::net::SocketAddr;

use platform::{
    cli,
    grpc::server::{MAX_REQUEST_BYTES, router},
    net::Port,
    postgres::Database,
    process::Process,
    worker::Wake,
};
use proto::loms::loms_server::LomsServer;
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::{
    commands::{self, Commands},
    config::Config,
    expiry::Expiry,
    grpc::Service,
    kafka::publisher::Publisher,
    metrics,
    relay::Relay,
    usecase::{Orders, Stocks},
    watch::Watch,
};

/// The full name of the service.
const SERVICE: &str = "loms.Loms";

/// The command line of LOMS.
#[derive(Debug)]
pub enum Loms {}

impl cli::Service for Loms {
    const NAME: &'static str = "loms";
    const CONFIG_VARIABLE: &'static str = "LOMS_CONFIG";
    type Config = Config;
    type Commands = Commands;

    fn migrations() -> Migrator {
        sqlx::migrate!("../migrations/loms")
    }

    async fn serve(config: Config) -> anyhow::Result<()> {
        App::open(config).await?.serve().await
    }

    async fn run(command: Commands, config: Config) -> anyhow::Result<()> {
        commands::run(command, &config.service.postgres, &Self::migrations()).await
    }
}

/// LOMS with its ports open, so that a taken one is noticed before anything else starts.
pub struct App {
    config: Config,
    port: Port,
    process: Process,
}

impl App {
    /// Opens the ports.
    pub async fn open(config: Config) -> anyhow::Result<Self> {
        metrics::register();
        let port = Port::open_public(&config.service.grpc).await?;
        let process = Process::start(<Loms as cli::Service>::NAME, SERVICE, &config.service).await?;
        Ok(Self { config, port, process })
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
        let Self { config, port, process } = self;
        let migrations = <Loms as cli::Service>::migrations();
        let connecting = Database::connect("loms", &config.service.postgres, &migrations);
        let Some(database) = process.unless_stopped(connecting).await.transpose()? else { return Ok(()) };

        let events = Wake::default();
        let orders = Orders::new(database.clone(), config.orders.payment_timeout, events.clone());
        let service = LomsServer::new(Service::new(orders.clone(), Stocks::new(database.clone())))
            .max_decoding_message_size(MAX_REQUEST_BYTES);
        let router = router(&config.service.grpc, SERVICE, proto::DESCRIPTORS, Routes::new(service), process.health())?;

        process.work(Expiry::new(orders), Wake::default());
        process.work(Relay::new(database.clone(), Publisher::new(&config.brokers)), events);
        process.work(Watch::new(database.clone()), Wake::default());
        process.serve(port, router, database).await
    }
}
