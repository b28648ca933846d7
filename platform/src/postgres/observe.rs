//! Traces and metrics of transactions, statements and the pool.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use sqlx::postgres::PgConnectOptions;
use tracing::{Span, field::Empty, info_span};

use super::errors;
use crate::{
    metrics::postgres::{self as metrics, Outcome},
    telemetry::trace,
};

/// Makes the spans of transactions and statements.
#[derive(Debug, Clone)]
pub(super) struct Instrumentation(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    host: String,
    port: u16,
    database: Option<String>,
}

impl Instrumentation {
    pub(super) fn new(options: &PgConnectOptions) -> Self {
        Self(Arc::new(Inner {
            host: options.get_host().to_owned(),
            port: options.get_port(),
            database: options.get_database().map(str::to_owned),
        }))
    }

    pub(super) fn transaction_span(&self, name: &'static str) -> Span {
        let Inner { host, port, database, .. } = &*self.0;
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

    /// The parent of the span is the transaction, or the current span for a single statement.
    fn statement_span(&self, transaction: Option<&Span>, name: &str, text: Option<&str>) -> Span {
        let Inner { host, port, database, .. } = &*self.0;
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

/// Lives as long as a transaction or a single statement holds its connection. When dropped, counts and times it.
#[derive(Debug)]
pub(super) struct TransactionGuard {
    metrics: metrics::Ended,
    started_at: Instant,
    /// `None` for a single statement: it has only its statement span.
    span: Option<Span>,
    instrumentation: Instrumentation,
    is_committed: bool,
    has_failed: AtomicBool,
}

impl TransactionGuard {
    pub(super) fn new(name: &str, span: Option<Span>, instrumentation: Instrumentation) -> Self {
        Self {
            metrics: metrics::Ended::of(name),
            started_at: Instant::now(),
            span,
            instrumentation,
            is_committed: false,
            has_failed: AtomicBool::new(false),
        }
    }

    pub(super) fn single(sql: &str, instrumentation: Instrumentation) -> Self {
        Self::new(name_of(sql), None, instrumentation)
    }

    pub(super) fn set_committed(&mut self) {
        self.is_committed = true;
    }

    pub(super) fn statement_span(&self, sql: &str) -> Span {
        self.instrumentation.statement_span(self.span.as_ref(), name_of(sql), Some(sql.trim()))
    }

    pub(super) fn commit_span(&self) -> Span {
        self.instrumentation.statement_span(self.span.as_ref(), "commit", None)
    }

    pub(super) fn rollback_span(&self) -> Span {
        self.instrumentation.statement_span(self.span.as_ref(), "rollback", None)
    }

    /// A failed statement also fails its transaction.
    pub(super) fn fail(&self, statement: &Span, error: &sqlx::Error) {
        self.has_failed.store(true, Ordering::Relaxed);
        let kind = errors::kind(error);
        if let Some(state) = errors::sqlstate(error) {
            statement.record("db.response.status_code", &*state);
        }
        for span in [Some(statement), self.span.as_ref()].into_iter().flatten() {
            trace::fail(span, &kind);
        }
    }
}

/// The name of a statement is in the comment at its beginning.
fn name_of(sql: &str) -> &str {
    let name = sql.trim_start().strip_prefix("/*").and_then(|text| text.split_once("*/"));
    name.map_or("unnamed", |(name, _)| name.trim())
}

impl Drop for TransactionGuard {
    fn drop(&mut self) {
        let outcome = match (self.is_committed, self.has_failed.load(Ordering::Relaxed)) {
            (true, _) => Outcome::Committed,
            (false, true) => Outcome::Failed,
            (false, false) => Outcome::Released,
        };
        self.metrics.count(outcome, self.started_at.elapsed());
    }
}
