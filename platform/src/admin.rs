//! The operators' port, plain HTTP: `/metrics`, `/livez`, `/readyz`.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::sync::OnceCell;

use crate::{metrics, postgres::Database, tls, worker::Progress};

/// Whether the service is ready for calls: not while it starts or drains, nor without its database.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    draining: AtomicBool,
    database: OnceCell<Database>,
    workers: Mutex<Vec<Arc<Progress>>>,
}

impl Readiness {
    pub fn set_serving(&self, database: Database) {
        // A second call would change nothing: a process has one database.
        let _ = self.0.database.set(database);
    }

    pub fn set_draining(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    /// A worker that is stuck makes the process fail `/livez`, so that it is started anew.
    pub fn watch(&self, worker: Arc<Progress>) {
        self.workers().push(worker);
    }

    fn workers(&self) -> MutexGuard<'_, Vec<Arc<Progress>>> {
        self.0.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn reason_not_ready(&self) -> Option<&'static str> {
        if self.0.draining.load(Ordering::Relaxed) {
            return Some("draining");
        }
        match self.0.database.get() {
            None => Some("starting"),
            Some(database) => database.reason_not_ready().await,
        }
    }
}

pub fn router(readiness: Readiness) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render))
        .with_state(readiness)
}

async fn livez(State(readiness): State<Readiness>) -> Response {
    match readiness.workers().iter().find(|worker| worker.is_stuck()) {
        None => "alive\n".into_response(),
        Some(stuck) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("the worker {} is stuck\n", stuck.worker())).into_response()
        }
    }
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    match readiness.reason_not_ready().await {
        None => "ready\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn render(State(readiness): State<Readiness>) -> Response {
    if let Some(database) = readiness.0.database.get() {
        database.update_pool_metrics();
    }
    for worker in readiness.workers().iter() {
        worker.update_metrics();
    }
    tls::refresh();
    match metrics::render() {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use axum::body::{Body, to_bytes};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_worker_that_is_stuck_makes_the_process_fail_livez_by_its_name() {
        let readiness = Readiness::default();
        let livez = async || {
            let request = axum::http::Request::get("/livez").body(Body::empty()).unwrap();
            let answer = router(readiness.clone()).oneshot(request).await.unwrap();
            (answer.status().as_u16(), to_bytes(answer.into_body(), 1024).await.unwrap())
        };
        readiness.watch(Progress::new("expiry"));
        assert_eq!(livez().await, (200, "alive\n".into()));
        readiness.watch(Progress::stuck("relay"));
        assert_eq!(livez().await, (503, "the worker relay is stuck\n".into()));
    }
}
