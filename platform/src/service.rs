//! A service of the fleet, and the frame that runs it: ports, database, background work, calls and an orderly stop.

use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{Next, from_fn},
};
use clap::Subcommand;
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;
use tonic::{Status, service::Routes};
use tonic_health::pb::health_server::{Health, HealthServer};
use tower::ServiceExt as _;

use crate::{
    config::{FromSection, service::ServiceConfig},
    grpc::{server::router, stream_end::end_on_drain},
    json, metrics,
    net::{Port, Running},
    postgres::Database,
    process::Process,
};

/// One service of the fleet; [`App`] runs it.
pub trait Service: Sized + Send + Sync + 'static {
    /// The name of the program, the crate and its folder, also in logs, traces and metrics.
    const NAME: &'static str;
    /// The full name of the gRPC service, `package.Service`.
    const RPC: &'static str;
    /// The methods that are refused first when there is too much to do: they begin something, or only look. They leave half
    /// of the places to the methods that bring to its end what was begun.
    const SHEDDABLE: &'static [&'static str];
    /// Encoded file descriptors that contain [`RPC`](Self::RPC).
    const DESCRIPTORS: &'static [u8];
    /// The OpenAPI document of the service, as JSON.
    const OPENAPI: &'static str;
    /// The names of transactions and of single statements. Metrics show them from the start.
    const TRANSACTIONS: &'static [&'static str];
    /// The reasons for refused calls. Metrics show them from the start.
    const REASONS: &'static [&'static str];
    /// Shows the service's own metrics at zero: `declare` of its [`metrics!`](crate::metrics!) block, and of what else it
    /// has.
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
    http: Option<(Port, Router)>,
    answers: Answers,
    process: Process,
}

impl<S: Service> App<S> {
    pub async fn open(config: S::Config) -> anyhow::Result<Self> {
        metrics::declare_for(S::NAME, S::TRANSACTIONS, S::REASONS);
        S::DECLARE_METRICS();
        let common = config.as_ref().clone();
        let service = S::open(config)?;
        let (port, http) = Port::open_public(&common.grpc, common.http.as_ref()).await?;
        let process = Process::start(S::RPC, &common).await?;
        // Callers hear at once that the service is not there yet, instead of waiting for it until their deadline.
        let answers = Answers::while_starting(process.health(), process.stop());
        let http = match (http, &common.http) {
            (Some(port), Some(config)) => {
                Some((port, json::router(config, S::RPC, S::DESCRIPTORS, S::OPENAPI, answers.router())?))
            }
            (Some(_), None) | (None, _) => None,
        };
        Ok(Self { service, config: common, port, http, answers, process })
    }

    pub fn service(&self) -> &S {
        &self.service
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// `None` if the configuration has no such port.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(|(port, _)| port.address())
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
        let Self { service, config, port, http, answers, process } = self;
        process.listen(port, answers.router());
        if let Some((port, router)) = http {
            process.listen(port, router);
        }
        let migrations = S::migrations();
        let connecting = Database::connect(S::NAME, &config.postgres, &migrations);
        let Some(database) = process.unless_stopped(connecting).await.transpose()? else { return Ok(()) };
        let routes = service.start(&process, &database)?;
        answers.set(router(
            &config.grpc,
            S::RPC,
            S::SHEDDABLE,
            S::DESCRIPTORS,
            routes,
            process.health(),
            process.stop(),
        )?);
        process.serve(database).await
    }
}

/// The router that answers calls, which is another one while the service starts.
#[derive(Clone)]
struct Answers(Arc<RwLock<Router>>);

impl Answers {
    /// Health is told; every other call is UNAVAILABLE.
    fn while_starting(health: HealthServer<impl Health>, drain: CancellationToken) -> Self {
        let starting = async || Status::unavailable("the service is starting; try again later").into_http::<Body>();
        let router = Routes::new(health).into_axum_router().fallback(starting);
        let router = router.layer(from_fn(move |request: Request, next: Next| {
            let (running, drain) = (request.extensions().get::<Running>().cloned(), drain.clone());
            async move { end_on_drain(next.run(request).await, running, &drain) }
        }));
        Self(Arc::new(RwLock::new(router)))
    }

    fn set(&self, router: Router) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = router;
    }

    fn router(&self) -> Router {
        let answers = self.clone();
        Router::new().fallback(move |request: Request| {
            let router = answers.0.read().unwrap_or_else(PoisonError::into_inner).clone();
            router.oneshot(request)
        })
    }
}
