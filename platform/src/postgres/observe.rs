//! How transactions, their statements and the pool show in traces and metrics.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use sqlx::postgres::PgConnectOptions;
use tracing::{Span, field::Empty, info_span};

use super::errors;
use crate::{metrics::postgres as metrics, telemetry::trace};

/// Where the database is, as spans have it, and how much of the pool is in use.
#[derive(Debug, Clone)]
pub(super) struct Place(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    host: String,
    port: u16,
    database: Option<String>,
    /// How many connections somebody works with.
    lent: AtomicU32,
}

impl Place {
    pub(super) fn of(options: &PgConnectOptions) -> Self {
        Self(Arc::new(Inner {
            host: options.get_host().to_owned(),
            port: options.get_port(),
            database: options.get_database().map(str::to_owned),
            lent: AtomicU32::new(0),
        }))
    }

    /// How many connections somebody works with.
    pub(super) fn lent(&self) -> u32 {
        self.0.lent.load(Ordering::Relaxed)
    }

    /// The span of a transaction.
    pub(super) fn transaction(&self, name: &'static str) -> Span {
        let Inner { host, port, database, lent: _ } = &*self.0;
        info_span!(
            "transaction",
            otel.name = format!("transaction {name}"),
            otel.kind = "client",
            otel.status_code = Empty,
            "error.type" = Empty,
            db.system.name = "postgresql",
            db.namespace = database,
            db.query.summary = name,
            server.address = host,
            server.port = i64::from(*port),
        )
    }

    /// The span of a statement, below that of its transaction if it has one.
    fn statement(&self, transaction: Option<&Span>, name: &str, text: Option<&str>) -> Span {
        let Inner { host, port, database, lent: _ } = &*self.0;
        let parent = transaction.map_or_else(|| Span::current().id(), Span::id);
        info_span!(
            parent: parent,
            "statement",
            otel.name = name,
            otel.kind = "client",
            otel.status_code = Empty,
            "error.type" = Empty,
            db.system.name = "postgresql",
            db.namespace = database,
            db.query.summary = name,
            db.query.text = text,
            db.response.status_code = Empty,
            server.address = host,
            server.port = i64::from(*port),
        )
    }
}

/// A transaction from its begin to its end, which is its drop.
#[derive(Debug)]
pub(super) struct Observed {
    name: Cow<'static, str>,
    started: Instant,
    /// `None` for a statement that stands alone: it has no span beside its own.
    span: Option<Span>,
    place: Place,
    committed: bool,
}

impl Observed {
    /// A transaction that began, in its span.
    pub(super) fn transaction(name: &'static str, span: Span, place: Place) -> Self {
        Self::begin(name.into(), Some(span), place)
    }

    /// A statement that stands alone, and commits by itself.
    pub(super) fn single(sql: &str, place: Place) -> Self {
        Self::begin(name_of(sql).to_owned().into(), None, place)
    }

    fn begin(name: Cow<'static, str>, span: Option<Span>, place: Place) -> Self {
        place.0.lent.fetch_add(1, Ordering::Relaxed);
        Self { name, started: Instant::now(), span, place, committed: false }
    }

    /// It is durable.
    pub(super) fn commit(&mut self) {
        self.committed = true;
    }

    /// The span of a statement.
    pub(super) fn statement(&self, sql: &str) -> Span {
        self.place.statement(self.span.as_ref(), name_of(sql), Some(sql.trim()))
    }

    /// The span of a command that has no name of its own.
    pub(super) fn command(&self, command: &'static str) -> Span {
        self.place.statement(self.span.as_ref(), command, None)
    }

    /// A statement failed, and all of the transaction with it.
    pub(super) fn fail(&mut self, statement: &Span, error: &sqlx::Error) {
        let kind = errors::kind(error);
        if let Some(state) = errors::sqlstate(error) {
            statement.record("db.response.status_code", &*state);
        }
        for span in [Some(statement), self.span.as_ref()].into_iter().flatten() {
            trace::fail(span, &kind);
        }
        self.committed = false;
    }
}

/// The name of a statement, from the comment that it begins with.
fn name_of(sql: &str) -> &str {
    let name = sql.trim_start().strip_prefix("/*").and_then(|text| text.split_once("*/"));
    name.map_or("unnamed", |(name, _)| name.trim())
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.place.0.lent.fetch_sub(1, Ordering::Relaxed);
        metrics::ended(&self.name, self.committed, self.started.elapsed());
    }
}

/// Somebody who waits for a connection, until the drop.
pub(super) struct Waiting(Instant);

impl Waiting {
    pub(super) fn begin() -> Self {
        metrics::WAITING.inc();
        Self(Instant::now())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        metrics::WAITING.dec();
        metrics::WAIT_SECONDS.observe(self.0.elapsed().as_secs_f64());
    }
}
