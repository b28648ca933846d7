//! The service's database: a pool, transactions with names, migrations, and which errors mean what.
//!
//! Statements are made on a [`Transaction`], or on a `&Database` where one stands alone; both take sqlx's queries. By the
//! rule of the house the text of a statement begins with a comment that names it. That is its name in traces, and in
//! metrics too where it stands alone.

mod errors;
mod migrations;
mod observe;
mod rows;
mod single;
mod transaction;

use std::{future::Future, io::ErrorKind::TimedOut, str::FromStr as _, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use secrecy::ExposeSecret as _;
use sqlx::{
    Connection as _, PgConnection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tracing::{Instrument as _, Span, field::Empty, info_span, warn};

pub use migrations::migrate;
use observe::{Observed, Place, Waiting};
pub use rows::{expect_rows, read};
pub use transaction::Transaction;

use crate::{
    config::service::PostgresConfig,
    failure::{Failure, Transient},
    metrics::postgres as metrics,
    telemetry::trace,
};

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
    place: Place,
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
        migrations::require_current(service, &pool, migrations).await?;
        Ok(Self::from_pool(pool))
    }

    /// A database over a pool that exists.
    pub fn from_pool(pool: PgPool) -> Self {
        let place = Place::of(&pool.connect_options());
        Self { pool, place }
    }

    /// Runs a transaction, which `work` commits; one that it drops is rolled back. `name` is its name in metrics and
    /// traces. When others got in its way it runs again, a few times and with jitter.
    pub async fn transact<T, E, F>(&self, name: &'static str, work: impl Fn(Transaction) -> F) -> Result<T, E>
    where
        E: From<Failure> + Transient,
        F: Future<Output = Result<T, E>>,
    {
        let attempt = || async { work(self.begin(name).await?).await };
        attempt.retry(RETRY).when(Transient::is_contention).notify(|_, _| metrics::retried(name)).await
    }

    /// Begins a transaction that is rolled back unless it is committed.
    pub async fn begin(&self, name: &'static str) -> Result<Transaction, Failure> {
        let span = self.place.transaction(name);
        let begun = self.waiting(self.pool.begin()).instrument(span.clone()).await.map_err(Failure::from);
        let inner = begun.inspect_err(|failure| trace::fail(&span, failure.kind()))?;
        Ok(Transaction::new(inner, Observed::transaction(name, span, self.place.clone())))
    }

    /// Waits for a connection. That shows in the trace where none was idle; looking whether an idle one is alive, and the
    /// begin of a transaction, are a round trip each.
    async fn waiting<T>(&self, connection: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        let was_full = self.is_full();
        let span = if self.pool.num_idle() == 0 {
            info_span!("wait for connection", otel.status_code = Empty, "error.type" = Empty)
        } else {
            Span::none()
        };
        let waiting = Waiting::begin();
        let connection = connection.instrument(span.clone()).await;
        drop(waiting);
        let connection = connection.map_err(|error| {
            if !matches!(error, sqlx::Error::PoolTimedOut) {
                return error;
            }
            metrics::TIMEOUTS.inc();
            // The pool says the same when others have all connections and when the database gives it none.
            if was_full || self.is_full() { error } else { std::io::Error::from(TimedOut).into() }
        });
        connection.inspect_err(|error| trace::fail(&span, &errors::kind(error)))
    }

    /// Whether others work with all connections that there may be.
    fn is_full(&self) -> bool {
        self.place.lent() >= self.pool.options().get_max_connections()
    }

    /// Brings the metrics of the pool up to date.
    pub(crate) fn measure_pool(&self) {
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        metrics::set_pool(idle, self.pool.size(), self.pool.options().get_max_connections());
    }

    /// Whether the database answers. Asks over a connection of its own: a pool that is busy is no reason to say no.
    pub async fn is_ready(&self) -> bool {
        probe(&self.pool.connect_options()).await.is_ok()
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
