//! What a service of the fleet is to the platform, and the frame that it runs in: ports, database, background work, calls,
//! and an end in good order.

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

/// A service.
pub trait Service: Sized + Send + Sync + 'static {
    /// Its program, its crate and its folder, and its name in logs, traces and metrics.
    const NAME: &'static str;
    /// The full name of what it serves, `package.Service`.
    const RPC: &'static str;
    /// Encoded descriptors in which [`RPC`](Self::RPC) is found.
    const DESCRIPTORS: &'static [u8];
    /// The names of its transactions, and of statements that stand alone: metrics show them from the start.
    const TRANSACTIONS: &'static [&'static str];
    /// The reasons for which it refuses calls.
    const REASONS: &'static [&'static str];
    /// Shows its metrics: the `declare` of its [`metrics!`](crate::metrics!) block.
    const DECLARE_METRICS: fn();

    type Config: FromSection + AsRef<ServiceConfig>;
    /// The commands that only this service has; [`NoCommands`](crate::cli::NoCommands) for none.
    type Commands: Subcommand;

    /// The migrations of its database.
    fn migrations() -> Migrator;

    /// Prepares what needs neither ports nor a database, so that a fault there is noticed before anything else starts.
    fn open(config: Self::Config) -> anyhow::Result<Self>;

    /// Begins the background work, and answers the calls that are served.
    fn start(self, process: &Process, database: &Database) -> anyhow::Result<Routes>;

    /// Runs a command of its own.
    fn run(command: Self::Commands, config: Self::Config) -> impl Future<Output = anyhow::Result<()>>;
}

/// A service with its ports open, so that a taken one is noticed before anything else starts.
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
        let Self { service, config, port, process } = self;
        let migrations = S::migrations();
        let connecting = Database::connect(S::NAME, &config.postgres, &migrations);
        let Some(database) = process.unless_stopped(connecting).await.transpose()? else { return Ok(()) };
        let routes = service.start(&process, &database)?;
        let router = router(&config.grpc, S::RPC, S::DESCRIPTORS, routes, process.health())?;
        process.serve(port, router, database).await
    }
}
