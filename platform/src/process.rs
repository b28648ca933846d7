//! The life of a service's process: its admin port opens first, then it serves and does its background work, and on
//! SIGTERM or SIGINT it stops being ready, takes no more work, finishes what runs and ends.

use std::{net::SocketAddr, panic::AssertUnwindSafe, time::Duration};

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
    worker::{self, Step, Wake},
};

/// A service's process while it runs.
pub struct Process {
    service: &'static str,
    readiness: Readiness,
    reporter: HealthReporter,
    health: HealthServer<HealthService>,
    stop: CancellationToken,
    panicked: CancellationToken,
    work: TaskTracker,
    grace_period: Duration,
    admin: JoinHandle<()>,
    admin_address: SocketAddr,
    admin_stop: CancellationToken,
}

impl Process {
    /// Opens the admin port and listens to signals; `service` is the full name of what is served, `package.Service`.
    pub async fn start(service: &'static str, config: &ServiceConfig) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        stop_on_signal(stop.clone())?;
        let readiness = Readiness::default();
        let admin_port = Port::open(config.admin.listen, None).await.context("admin.listen")?;
        let admin_address = admin_port.address();
        info!(address = %admin_address, "admin port is open");
        let admin_stop = CancellationToken::new();
        let admin = tokio::spawn(admin_port.serve(admin::router(readiness.clone()), admin_stop.clone()));
        let reporter = HealthReporter::new();
        for name in ["", service] {
            reporter.set_service_status(name, ServingStatus::NotServing).await;
        }
        let health = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
        let grace_period = config.shutdown.grace_period;
        let work = TaskTracker::new();
        Ok(Self {
            service,
            readiness,
            reporter,
            health,
            stop,
            panicked: CancellationToken::new(),
            work,
            grace_period,
            admin,
            admin_address,
            admin_stop,
        })
    }

    /// The health service that this process keeps up to date.
    pub(crate) fn health(&self) -> HealthServer<HealthService> {
        self.health.clone()
    }

    /// Where operators reach it; the port number is the real one also if 0 was asked for.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Cancelled when the process is told to stop.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Waits for something that the start needs; `None` when the process is told to stop before that.
    pub(crate) async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        self.stop.run_until_cancelled(future).await
    }

    /// Drives a step in the background until the process is told to stop.
    ///
    /// A step that panics ends the process: nobody knows what it left half done, and a service without it would look
    /// well and do half its work.
    pub fn work<S: Step>(&self, step: S, wake: Wake) {
        let (stop, panicked) = (self.stop.clone(), self.panicked.clone());
        self.work.spawn(async move {
            let work = AssertUnwindSafe(worker::run(step, wake, stop.clone()));
            if let Err(panic) = work.catch_unwind().await {
                error!(worker = S::NAME, error = panic_text(&*panic), "panicked; the service stops");
                panicked.cancel();
                stop.cancel();
            }
        });
    }

    /// Answers calls until the process is told to stop, then drains. Fails if background work panicked.
    pub(crate) async fn serve(self, port: Port, router: Router, database: Database) -> anyhow::Result<()> {
        info!(address = %port.address(), "serving");
        self.work.spawn(port.serve(router, self.stop.clone()));
        self.readiness.serve(database);
        self.report(ServingStatus::Serving).await;
        self.stop.cancelled().await;

        info!("stopping: running calls and steps are finished first");
        self.readiness.drain();
        self.report(ServingStatus::NotServing).await;
        self.work.close();
        if tokio::time::timeout(self.grace_period, self.work.wait()).await.is_err() {
            warn!(
                grace_period_s = self.grace_period.as_secs_f64(),
                "calls or steps still ran at the end of the grace period and are cut off"
            );
        }
        self.admin_stop.cancel();
        // An operator's connection that stays open must not hold up the end.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.admin).await;
        info!("stopped");
        ensure!(!self.panicked.is_cancelled(), "background work panicked");
        Ok(())
    }

    async fn report(&self, status: ServingStatus) {
        for name in ["", self.service] {
            self.reporter.set_service_status(name, status).await;
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
