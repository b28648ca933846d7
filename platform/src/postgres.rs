//! The service's database: a pool, named transactions, migrations, and the meaning of errors.
//!
//! A [`Transaction`] executes sqlx's queries. A `&Database` does too, for a single statement. The text of every
//! statement begins with a comment, which is its name in traces. A single statement has this name in metrics as well.

mod errors;
mod migrations;
mod observe;
mod rows;
mod single;
mod transaction;
mod trust;

use std::{future::Future, io::ErrorKind::TimedOut, str::FromStr as _, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use secrecy::ExposeSecret as _;
use sqlx::{
    Connection as _, PgConnection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tracing::{Instrument as _, Span, field::Empty, info_span, warn};

pub(crate) use errors::is_of_the_data;
pub use migrations::migrate;
use observe::{Instrumentation, TransactionGuard, WaitGuard};
pub use rows::{expect_rows, read};
pub use transaction::Transaction;
use trust::Trust;

use crate::{
    config::service::PostgresConfig,
    failure::{Failure, Transient},
    metrics::postgres as metrics,
    telemetry::trace,
};

/// With these settings, a client that hangs or vanishes does not hold locks and connections for long.
const SESSION_SETTINGS: [(&str, &str); 6] = [
    ("statement_timeout", "10s"),
    ("lock_timeout", "5s"),
    // The longest pause is in a transaction that waits up to five seconds for Kafka.
    ("idle_in_transaction_session_timeout", "15s"),
    // The server closes a connection to a lost machine after 25 seconds.
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];
/// These connections stay open when there is little to do, so that the first burst of calls need not wait for new ones.
const MIN_CONNECTIONS: u32 = 5;
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// For transactions that conflicted with others.
const RETRY_POLICY: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(5))
    .with_max_delay(Duration::from_millis(100))
    .with_max_times(5)
    .with_jitter();
const CONNECT_PAUSE: Duration = Duration::from_secs(1);

const POSTGRES: &str = "Postgres";

#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
    instrumentation: Instrumentation,
}

impl Database {
    /// Waits for a database that is down. Fails if the connection string is unusable or the database lacks migrations.
    pub async fn connect(service: &str, config: &PostgresConfig, migrations: &Migrator) -> anyhow::Result<Self> {
        let options = connect_options(config)?.application_name(service);
        let trust = Trust::default();
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .min_connections(config.max_connections.min(MIN_CONNECTIONS))
            .acquire_timeout(config.acquire_timeout)
            .before_acquire({
                let trust = trust.clone();
                move |_, connection| Box::pin(std::future::ready(Ok(trust.covers(connection.age))))
            })
            .connect_lazy_with(options.clone());
        while let Err(error) = probe(&options).await {
            warn!(%error, "waiting for Postgres (postgres.connection_string)");
            tokio::time::sleep(CONNECT_PAUSE).await;
        }
        migrations::require_current(service, &pool, migrations).await?;
        let instrumentation = Instrumentation::new(&options, trust);
        Ok(Self { pool, instrumentation })
    }

    pub fn from_pool(pool: PgPool) -> Self {
        let instrumentation = Instrumentation::new(&pool.connect_options(), Trust::default());
        Self { pool, instrumentation }
    }

    /// Runs a transaction. `work` must commit it; a transaction that `work` drops is rolled back. `work` runs again, a
    /// few times, if the transaction conflicted with others. `name` is for metrics and traces.
    pub async fn transact<T, E, F>(&self, name: &'static str, work: impl Fn(Transaction) -> F) -> Result<T, E>
    where
        E: From<Failure> + Transient,
        F: Future<Output = Result<T, E>>,
    {
        let attempt = || async { work(self.begin(name).await?).await };
        attempt.retry(RETRY_POLICY).when(Transient::is_contention).notify(|_, _| metrics::count_retry(name)).await
    }

    pub async fn begin(&self, name: &'static str) -> Result<Transaction, Failure> {
        let span = self.instrumentation.transaction_span(name);
        let begun = self.acquire(self.pool.begin()).instrument(span.clone()).await.map_err(Failure::from);
        let inner = begun.inspect_err(|failure| trace::fail(&span, failure.kind()))?;
        Ok(Transaction::new(inner, TransactionGuard::new(name, Some(span), self.instrumentation.clone())))
    }

    /// Waits for a connection; `connection` may also begin a transaction on it. If no connection is idle, the wait is a
    /// span. Otherwise it takes only the round trips that check the connection and begin the transaction.
    async fn acquire<T>(&self, connection: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        let was_full = self.is_full();
        let span = if self.pool.num_idle() == 0 {
            info_span!("wait for connection", otel.status_code = Empty, "error.type" = Empty)
        } else {
            Span::none()
        };
        let wait = WaitGuard::start();
        let connection = connection.instrument(span.clone()).await;
        drop(wait);
        let connection = connection.map_err(|error| {
            if !matches!(error, sqlx::Error::PoolTimedOut) {
                return error;
            }
            metrics::TIMEOUTS.inc();
            // The pool reports this error also if the database gives it no connection. Only a full pool means overload.
            if was_full || self.is_full() { error } else { std::io::Error::from(TimedOut).into() }
        });
        connection.inspect_err(|error| trace::fail(&span, &errors::kind(error)))
    }

    fn is_full(&self) -> bool {
        self.instrumentation.connections_in_use() >= self.pool.options().get_max_connections()
    }

    pub(crate) fn update_pool_metrics(&self) {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        metrics::set_pool(idle, self.pool.size(), self.pool.options().get_max_connections());
    }

    /// Why the database cannot serve; `None` if it can. The check uses its own connection: a service with a busy pool is
    /// still ready.
    pub(crate) async fn reason_not_ready(&self) -> Option<&'static str> {
        match probe(&self.pool.connect_options()).await {
            Ok(true) => None,
            Ok(false) => Some("Postgres only reads"),
            Err(_) => Some("Postgres does not answer"),
        }
    }
}

/// Checks if the database answers; answers whether it also writes. A pool would retry until its timeout and hide the error.
async fn probe(options: &PgConnectOptions) -> sqlx::Result<bool> {
    let ask = async {
        let mut connection = PgConnection::connect_with(options).await?;
        let query = "SELECT current_setting('transaction_read_only') = 'off' /* probe */";
        let writes = sqlx::query_scalar(query).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(writes)
    };
    tokio::time::timeout(PROBE_TIMEOUT, ask).await.unwrap_or_else(|_| Err(std::io::Error::from(TimedOut).into()))
}

fn connect_options(config: &PostgresConfig) -> anyhow::Result<PgConnectOptions> {
    PgConnectOptions::from_str(config.connection_string.expose_secret())
        .map(|options| options.options(SESSION_SETTINGS))
        // The error may quote the connection string, which holds a password.
        .map_err(|_| {
            anyhow::anyhow!("postgres.connection_string must look like postgres://user:password@host:port/database")
        })
}
