//! The service's database: a pool, transactions with names, and which errors mean what.

use std::{
    collections::HashSet,
    fmt,
    future::Future,
    io::ErrorKind::TimedOut,
    ops::{Deref, DerefMut},
    str::FromStr as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use backon::{ExponentialBuilder, Retryable as _};
use secrecy::ExposeSecret as _;
use sqlx::{
    Connection as _, PgConnection, PgPool, Postgres,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tracing::{info_span, warn};

use crate::{config::service::PostgresConfig, failure::Failure, metrics};

/// What the server does by itself, so that a caller or a machine that is lost does not hold locks and connections for
/// long: it cancels a statement, a wait for a lock, and a transaction in which nothing happens (the longest pause is
/// the relay's, which waits for Kafka for five seconds), and notices a peer that is gone.
const SESSION: [(&str, &str); 6] = [
    ("statement_timeout", "10s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "15s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];
/// How many connections are kept open when there is little to do, so that the first burst of calls finds some.
const WARM_CONNECTIONS: u32 = 5;
/// How long the database may take to answer whether it is there.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a transaction runs again that others got in the way of, and how long it waits before that.
const RETRY: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(5))
    .with_max_delay(Duration::from_millis(100))
    .with_max_times(5)
    .with_jitter();
/// How often a database that is down is tried again at start.
const CONNECT_PAUSE: Duration = Duration::from_secs(1);

/// The name of the dependency in failures.
const POSTGRES: &str = "Postgres";

/// A pool of connections to the service's database.
#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
}

impl Database {
    /// Connects, waiting for a database that is down, and makes sure that its migrations are current.
    ///
    /// Fails for a connection string that cannot be used, and for a database that lacks migrations.
    pub async fn connect(service: &str, config: &PostgresConfig, migrations: &Migrator) -> anyhow::Result<Self> {
        let options = connect_options(config)?.application_name(service);
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .min_connections(config.max_connections.min(WARM_CONNECTIONS))
            .acquire_timeout(config.acquire_timeout)
            .connect_lazy_with(options.clone());
        while let Err(error) = probe(&options).await {
            warn!(%error, "waiting for Postgres (postgres.connection_string)");
            tokio::time::sleep(CONNECT_PAUSE).await;
        }
        require_current(service, &pool, migrations).await?;
        Ok(Self { pool })
    }

    /// A database over a pool that exists, for tests.
    pub fn from_pool(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Begins a transaction; `name` is its name in metrics and traces. It is rolled back unless it is committed.
    pub async fn begin(&self, name: &'static str) -> Result<Transaction, Failure> {
        let span = info_span!("transaction", otel.name = name, otel.kind = "client", db.system.name = "postgresql");
        let started = Instant::now();
        let inner = self.pool.begin().await.map_err(|error| self.failure(error))?;
        Ok(Transaction { inner, _observed: Observed { name, started, _span: span } })
    }

    /// The pool, for a single statement that needs no transaction.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Whether the database answers. Asks over a connection of its own: a pool that is busy is no reason to say no.
    pub async fn is_ready(&self) -> bool {
        probe(&self.pool.connect_options()).await.is_ok()
    }

    /// Tells a pool whose connections are all in use from a database that is away.
    fn failure(&self, error: sqlx::Error) -> Failure {
        let busy = self.pool.num_idle() == 0 && self.pool.size() >= self.pool.options().get_max_connections();
        if busy && matches!(error, sqlx::Error::PoolTimedOut) { Failure::Overloaded } else { error.into() }
    }
}

/// Asks the database whether it is there. Unlike a pool, which tries again until its time is up, it says what is wrong.
async fn probe(options: &PgConnectOptions) -> sqlx::Result<()> {
    let ask = async {
        let mut connection = PgConnection::connect_with(options).await?;
        connection.ping().await?;
        connection.close().await
    };
    tokio::time::timeout(PROBE_TIMEOUT, ask).await.unwrap_or_else(|_| Err(std::io::Error::from(TimedOut).into()))
}

fn connect_options(config: &PostgresConfig) -> anyhow::Result<PgConnectOptions> {
    PgConnectOptions::from_str(config.connection_string.expose_secret())
        .map(|options| options.options(SESSION))
        // The error may quote the connection string, which holds a password.
        .map_err(|_| {
            anyhow::anyhow!("postgres.connection_string must look like postgres://user:password@host:port/database")
        })
}

/// Applies the migrations that the database lacks, or with `revert` takes back the latest one. Answers its versions.
pub async fn migrate(
    config: &PostgresConfig,
    migrations: &Migrator,
    revert: bool,
) -> anyhow::Result<(HashSet<i64>, HashSet<i64>)> {
    let options = connect_options(config)?.options([("statement_timeout", "0")]);
    let place = format!("cannot connect to Postgres at {}:{}", options.get_host(), options.get_port());
    probe(&options).await.context(place)?;
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
    let before = applied(&pool).await?;
    if revert {
        let Some(latest) = before.iter().max() else { bail!("there is no migration to take back") };
        let target = before.iter().filter(|version| *version < latest).max().copied().unwrap_or(0);
        migrations.undo(&pool, target).await?;
    } else {
        migrations.run(&pool).await?;
    }
    Ok((before, applied(&pool).await?))
}

async fn applied(pool: &PgPool) -> sqlx::Result<HashSet<i64>> {
    const UNDEFINED_TABLE: &str = "42P01";
    let versions =
        sqlx::query_scalar("SELECT version /* applied */ FROM _sqlx_migrations WHERE success").fetch_all(pool).await;
    match versions {
        Ok(versions) => Ok(versions.into_iter().collect()),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(UNDEFINED_TABLE) => Ok(HashSet::new()),
        Err(error) => Err(error),
    }
}

async fn require_current(service: &str, pool: &PgPool, migrations: &Migrator) -> anyhow::Result<()> {
    let applied = applied(pool).await.context("cannot read which migrations were applied")?;
    let missing: Vec<_> = migrations
        .iter()
        .filter(|migration| !migration.migration_type.is_down_migration() && !applied.contains(&migration.version))
        .map(|migration| format!("{}_{}", migration.version, migration.description.replace(' ', "_")))
        .collect();
    if !missing.is_empty() {
        bail!("the database lacks the migrations {}; run `{service} migrate`", missing.join(", "));
    }
    Ok(())
}

/// A transaction that is rolled back when dropped.
pub struct Transaction {
    inner: sqlx::Transaction<'static, Postgres>,
    _observed: Observed,
}

impl Transaction {
    /// Makes everything done in it durable. When this fails it is in doubt whether it happened.
    pub async fn commit(self) -> Result<(), Failure> {
        self.inner.commit().await.map_err(Failure::from)
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.inner
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.inner
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}

struct Observed {
    name: &'static str,
    started: Instant,
    _span: tracing::Span,
}

impl Drop for Observed {
    fn drop(&mut self) {
        metrics::TRANSACTION_SECONDS.with_label_values(&[self.name]).observe(self.started.elapsed().as_secs_f64());
    }
}

/// Runs a whole transaction again, a few times and with jitter, when others got in its way.
pub async fn retrying<T, F>(name: &'static str, transaction: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    transaction
        .retry(RETRY)
        .when(Failure::is_contention)
        .notify(|_, _| metrics::TRANSACTION_RETRIES.with_label_values(&[name]).inc())
        .await
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(database) = &error {
            return match database.code().as_deref() {
                // serialization_failure, deadlock_detected
                Some("40001" | "40P01") => Self::Contention(std::sync::Arc::new(error)),
                // too_many_connections, lock_not_available (our lock_timeout), query_canceled (our statement_timeout),
                // idle_in_transaction_session_timeout, admin_shutdown, crash_shutdown, cannot_connect_now
                Some("53300" | "55P03" | "57014" | "25P03" | "57P01" | "57P02" | "57P03") => {
                    Self::unavailable(POSTGRES, error)
                }
                Some(_) | None => Self::unforeseen(error),
            };
        }
        // Protocol: how sqlx reads a connection that is accepted and closed at once, as a proxy does whose Postgres is down.
        if matches!(
            error,
            sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
        ) {
            return Self::unavailable(POSTGRES, error);
        }
        Self::unforeseen(error)
    }
}
