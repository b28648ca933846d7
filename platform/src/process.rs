//! The life of a service's process. The admin port opens first. Then the process answers calls and does background
//! work. After SIGTERM or SIGINT it is no longer ready, takes no new work, finishes running calls and steps, and ends.

use std::{net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use axum::Router;
use futures::FutureExt as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic_health::{ServingStatus, pb::health_server::HealthServer, server::HealthReporter, server::HealthService};
use tracing::{error, info, warn};

use crate::{
    admin::{self, Readiness},
    config::service::ServiceConfig,
    failure::panic_text,
    net::Port,
    postgres::Database,
    worker::{self, Progress, Step, Wake},
};

pub struct Process {
    service: &'static str,
    readiness: Readiness,
    health_reporter: HealthReporter,
    health: HealthServer<HealthService>,
    stop: CancellationToken,
    panicked: CancellationToken,
    tasks: TaskTracker,
    grace_period: Duration,
    admin: JoinHandle<()>,
    admin_address: SocketAddr,
    admin_stop: CancellationToken,
}

impl Process {
    /// Opens the admin port and listens to signals. `service` is the full name of the gRPC service, `package.Service`.
    pub async fn start(service: &'static str, config: &ServiceConfig) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        stop_on_signal(stop.clone())?;
        let readiness = Readiness::default();
        let admin_port = Port::open_admin(&config.admin).await?;
        let admin_address = admin_port.address();
        info!(address = %admin_address, "admin port is open");
        let admin_stop = CancellationToken::new();
        let admin = tokio::spawn(admin_port.serve(admin::router(readiness.clone()), admin_stop.clone()));
        let health_reporter = HealthReporter::new();
        let health = HealthServer::new(HealthService::from_health_reporter(health_reporter.clone()));
        let process = Self {
            service,
            readiness,
            health_reporter,
            health,
            stop,
            panicked: CancellationToken::new(),
            tasks: TaskTracker::new(),
            grace_period: config.shutdown.grace_period,
            admin,
            admin_address,
            admin_stop,
        };
        process.set_health(ServingStatus::NotServing).await;
        Ok(process)
    }

    pub(crate) fn health(&self) -> HealthServer<HealthService> {
        self.health.clone()
    }

    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Cancelled when the process is told to stop.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Waits for a future; `None` if the process is told to stop first.
    pub(crate) async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        self.stop.run_until_cancelled(future).await
    }

    /// Runs a step in the background, again and again, until the process is told to stop.
    ///
    /// A step that panics ends the process. Nobody knows what it left half done, and without the step the service would
    /// look healthy but not do all its work.
    pub fn work<S: Step>(&self, step: S, wake: Wake) {
        let (stop, panicked) = (self.stop.clone(), self.panicked.clone());
        let progress = Progress::new(S::NAME);
        self.readiness.watch(Arc::clone(&progress));
        self.tasks.spawn(async move {
            let work = AssertUnwindSafe(worker::run(step, wake, progress, stop.clone()));
            if let Err(panic) = work.catch_unwind().await {
                error!(worker = S::NAME, error = panic_text(&*panic), "panicked; the service stops");
                panicked.cancel();
                stop.cancel();
            }
        });
    }

    /// Answers calls until the process is told to stop, and then those that still run.
    pub(crate) fn listen(&self, port: Port, router: Router) {
        info!(address = %port.address(), port = port.name(), "port is open");
        self.tasks.spawn(port.serve(router, self.stop.clone()));
    }

    /// Is ready until the process is told to stop, then finishes what runs. Fails if a step panicked.
    pub(crate) async fn serve(self, database: Database) -> anyhow::Result<()> {
        info!("serving");
        self.readiness.set_serving(database);
        self.set_health(ServingStatus::Serving).await;
        self.stop.cancelled().await;

        info!("stopping: running calls and steps are finished first");
        self.readiness.set_draining();
        self.set_health(ServingStatus::NotServing).await;
        self.tasks.close();
        if tokio::time::timeout(self.grace_period, self.tasks.wait()).await.is_err() {
            warn!(
                grace_period_s = self.grace_period.as_secs_f64(),
                "calls or steps still ran at the end of the grace period and are cut off"
            );
        }
        // The admin port closes last, so that operators see metrics and readiness until the end.
        self.admin_stop.cancel();
        // An operator's connection that stays open must not delay the end of the process.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.admin).await;
        info!("stopped");
        ensure!(!self.panicked.is_cancelled(), "background work panicked");
        Ok(())
    }

    async fn set_health(&self, status: ServingStatus) {
        // The empty name stands for the whole server.
        for name in ["", self.service] {
            self.health_reporter.set_service_status(name, status).await;
        }
    }
}

fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen to SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen to SIGINT")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}
