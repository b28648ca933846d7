//! The operators' port, plain HTTP: `/metrics`, `/livez`, `/readyz`.

use std::sync::{
    Arc,
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

use crate::{metrics, postgres::Database};

/// Where the service is in its life, and what it needs to serve.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    draining: AtomicBool,
    database: OnceCell<Database>,
}

impl Readiness {
    /// The service answers calls from now on, as long as its database does.
    pub(crate) fn serve(&self, database: Database) {
        // A second call would change nothing: a process has one database.
        let _ = self.0.database.set(database);
    }

    /// The service takes no more calls.
    pub(crate) fn drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    async fn reason_against(&self) -> Option<&'static str> {
        if self.0.draining.load(Ordering::Relaxed) {
            return Some("draining");
        }
        match self.0.database.get() {
            None => Some("starting"),
            Some(database) if database.is_ready().await => None,
            Some(_) => Some("Postgres does not answer"),
        }
    }
}

/// The routes of the port.
pub fn router(readiness: Readiness) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render))
        .with_state(readiness)
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    match readiness.reason_against().await {
        None => "ready\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn render(State(readiness): State<Readiness>) -> Response {
    if let Some(database) = readiness.0.database.get() {
        database.measure_pool();
    }
    match metrics::render() {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
