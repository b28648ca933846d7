//! A service of the fleet, and the frame that runs it: ports, database, background work, calls and an orderly stop.

use std::net::SocketAddr;

use clap::Subcommand;
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::{
    config::{FromSection, service::ServiceConfig},
    grpc::server::router,
    metrics,
    net::Port,
    postgres::Database,
    process::Process,
};

/// One service of the fleet; [`App`] runs it.
pub trait Service: Sized + Send + Sync + 'static {
    /// The name of the program, the crate and its folder, also in logs, traces and metrics.
    const NAME: &'static str;
    /// The full name of the gRPC service, `package.Service`.
    const RPC: &'static str;
    /// Encoded file descriptors that contain [`RPC`](Self::RPC).
    const DESCRIPTORS: &'static [u8];
    /// The names of transactions and of single statements. Metrics show them from the start.
    const TRANSACTIONS: &'static [&'static str];
    /// The reasons for refused calls. Metrics show them from the start.
    const REASONS: &'static [&'static str];
    /// The function `declare` of the service's [`metrics!`](crate::metrics!) block.
    const DECLARE_METRICS: fn();

    type Config: FromSection + AsRef<ServiceConfig>;
    /// Commands that only this service has; [`NoCommands`](crate::cli::NoCommands) for none.
    type Commands: Subcommand;

    fn migrations() -> Migrator;

    /// Prepares what needs neither ports nor a database. A fault here shows before anything else starts.
    fn open(config: Self::Config) -> anyhow::Result<Self>;

    /// Starts the background work and returns the routes to serve.
    fn start(self, process: &Process, database: &Database) -> anyhow::Result<Routes>;

    fn run(command: Self::Commands, config: Self::Config) -> impl Future<Output = anyhow::Result<()>>;
}

/// A service whose ports are open. A port that is taken shows before anything else starts.
pub struct App<S> {
    service: S,
    config: ServiceConfig,
    port: Port,
    process: Process,
}

impl<S: Service> App<S> {
    pub async fn open(config: S::Config) -> anyhow::Result<Self> {
        metrics::declare_for(S::NAME, S::TRANSACTIONS, S::REASONS);
        S::DECLARE_METRICS();
        let common = config.as_ref().clone();
        let service = S::open(config)?;
        let port = Port::open_public(&common.grpc).await?;
        let process = Process::start(S::RPC, &common).await?;
        Ok(Self { service, config: common, port, process })
    }

    pub fn service(&self) -> &S {
        &self.service
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.process.admin_address()
    }

    /// Cancelling this token stops the service, as SIGTERM does.
    pub fn stop(&self) -> CancellationToken {
        self.process.stop()
    }

    /// Answers calls and does background work until the service is told to stop.
    pub async fn serve(self) -> anyhow::Result<()> {
        let Self { service, config, port, process } = self;
        let migrations = S::migrations();
        let connecting = Database::connect(S::NAME, &config.postgres, &migrations);
        let Some(database) = process.unless_stopped(connecting).await.transpose()? else { return Ok(()) };
        let routes = service.start(&process, &database)?;
        let router = router(&config.grpc, S::RPC, S::DESCRIPTORS, routes, process.health())?;
        process.serve(port, router, database).await
    }
}
