//! The service's database: pools of connections, named transactions, migrations, and the meaning of errors.
//!
//! A [`Transaction`] executes sqlx's queries. A `&Database` does too, for a single statement. The text of every
//! statement begins with a comment, which is its name in traces. A single statement has this name in metrics as well.

mod errors;
mod keeper;
mod lease;
mod migrations;
mod observe;
mod pool;
mod rows;
mod single;
mod transaction;
mod trust;

use std::{future::Future, io::ErrorKind::TimedOut, str::FromStr as _, sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use secrecy::ExposeSecret as _;
use sqlx::{ConnectOptions as _, migrate::Migrator, postgres::PgConnectOptions};
use tracing::{Instrument as _, Span, field::Empty, info_span, warn};

pub(crate) use errors::is_of_the_data;
pub use migrations::migrate;
pub use rows::{expect_rows, read};
pub use transaction::Transaction;

use crate::{
    config::service::PostgresConfig,
    deadline,
    failure::{Failure, Transient},
    metrics::postgres as metrics,
    telemetry::trace,
};
use keeper::{Keeper, State};
use lease::Lease;
use observe::{Instrumentation, TransactionGuard};
use pool::Pool;
use trust::Trust;

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
/// The longest that a statement may take, as in the settings of sessions.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// The call itself hears of its deadline first.
const CANCEL_TIME: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a transaction waits for a lock: well below the deadline of a call, because a connection waits with it. The
/// more wait for a connection, the shorter.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
const MIN_LOCK_TIMEOUT: Duration = Duration::from_millis(250);
/// For transactions that conflicted with others.
const RETRY_POLICY: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(5))
    .with_max_delay(Duration::from_millis(100))
    .with_max_times(5)
    .with_jitter();
const CONNECT_PAUSE: Duration = Duration::from_secs(1);

const POSTGRES: &str = "Postgres";

/// The database of a service. Clones share its connections.
///
/// Calls that write, calls that read, and background work have connections apart, so that none of them waits for
/// another.
#[derive(Debug, Clone)]
pub struct Database {
    pools: Arc<Pools>,
    lane: Lane,
    acquire_timeout: Duration,
    instrumentation: Instrumentation,
    keeper: Keeper,
}

#[derive(Debug)]
struct Pools {
    writes: Pool,
    reads: Pool,
    background: Pool,
}

/// Whose work it is, and so whose connections it takes.
#[derive(Debug, Clone, Copy)]
enum Lane {
    /// Transactions take connections for writes, single statements those for reads.
    Calls,
    Background,
}

impl Database {
    /// Waits for a database that is down. Fails if the connection string is unusable or the database lacks migrations.
    pub async fn connect(service: &str, config: &PostgresConfig, migrations: &Migrator) -> anyhow::Result<Self> {
        let options = connect_options(config)?.application_name(service);
        let mut connection = loop {
            match errors::within(CONNECT_TIMEOUT, options.connect()).await {
                Ok(connection) => break connection,
                Err(error) => warn!(%error, "waiting for Postgres (postgres.connection_string)"),
            }
            tokio::time::sleep(CONNECT_PAUSE).await;
        };
        migrations::require_current(service, &mut connection, migrations).await?;
        Ok(Self::new(options, config.max_connections, config.acquire_timeout))
    }

    /// Begins to open connections, without a check of the database. Must be called inside a Tokio runtime.
    pub fn new(options: PgConnectOptions, max_connections: u32, acquire_timeout: Duration) -> Self {
        let instrumentation = Instrumentation::new(&options);
        let (trust, keeper) = (Trust::default(), Keeper::start(options.clone()));
        let quarter = usize::try_from(max_connections / 4).unwrap_or(usize::MAX).max(1);
        let rest = usize::try_from(max_connections).unwrap_or(usize::MAX).saturating_sub(2 * quarter).max(1);
        let [writes, reads, background] = metrics::POOLS;
        let pool = |name, size| Pool::open(name, size, options.clone(), trust.clone(), keeper.clone());
        let pools =
            Pools { background: pool(background, quarter), reads: pool(reads, quarter), writes: pool(writes, rest) };
        Self { pools: Arc::new(pools), lane: Lane::Calls, acquire_timeout, instrumentation, keeper }
    }

    /// The same database for work that no caller waits for. It has connections of its own.
    #[must_use]
    pub fn background(&self) -> Self {
        Self { lane: Lane::Background, ..self.clone() }
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
        let pool = match self.lane {
            Lane::Calls => &self.pools.writes,
            Lane::Background => &self.pools.background,
        };
        let begin = async {
            let crowding = pool.crowding();
            let mut lease = self.lend(pool).await?;
            lease.begin(&settings(crowding)).await?;
            Ok(lease)
        };
        let begun = begin.instrument(span.clone()).await.map_err(|error: sqlx::Error| Failure::from(error));
        let lease = begun.inspect_err(|failure| trace::fail(&span, failure.kind()))?;
        Ok(Transaction::new(lease, TransactionGuard::new(name, Some(span), self.instrumentation.clone())))
    }

    /// Waits for a connection. If none is idle, the wait is a span.
    async fn lend(&self, pool: &Pool) -> sqlx::Result<Lease> {
        let span = if pool.is_exhausted() {
            info_span!("wait for connection", otel.status_code = Empty, "error.type" = Empty)
        } else {
            Span::none()
        };
        let waiting = pool.wait();
        let lent = tokio::time::timeout(self.acquire_timeout, pool.lend()).instrument(span.clone()).await;
        drop(waiting);
        let lent = lent.map_err(|_| {
            metrics::TIMEOUTS.with([pool.name()]).inc();
            // Only if connections are open, and all in use, there is too much to do.
            if pool.is_exhausted() { sqlx::Error::PoolTimedOut } else { std::io::Error::from(TimedOut).into() }
        });
        lent.inspect_err(|error| trace::fail(&span, &errors::kind(error)))
    }

    pub(crate) fn update_pool_metrics(&self) {
        let Pools { writes, reads, background } = &*self.pools;
        for pool in [writes, reads, background] {
            pool.update_metrics();
        }
    }

    /// Why the database cannot serve; `None` if it can. The check has its own connection: a service whose connections are
    /// all in use is still ready.
    pub(crate) async fn reason_not_ready(&self) -> Option<&'static str> {
        match self.keeper.probe().await {
            State::Writes | State::Full => None,
            State::OnlyReads => Some("Postgres only reads"),
            State::Silent => Some("Postgres does not answer"),
        }
    }
}

/// The settings of a transaction. It waits for locks only for a while. That of a call also ends when the time of the call
/// is over, if nobody lives to cancel it.
fn settings(crowding: usize) -> String {
    let crowding = u32::try_from(crowding).unwrap_or(u32::MAX).saturating_add(1);
    let lock_ms = (LOCK_TIMEOUT / crowding).max(MIN_LOCK_TIMEOUT).as_millis();
    match deadline::remaining() {
        None => format!("SET LOCAL lock_timeout = {lock_ms}"),
        Some(remaining) => {
            let statement_ms = (remaining + CANCEL_TIME).min(STATEMENT_TIMEOUT).as_millis();
            format!("SET LOCAL lock_timeout = {lock_ms}; SET LOCAL statement_timeout = {statement_ms}")
        }
    }
}

fn connect_options(config: &PostgresConfig) -> anyhow::Result<PgConnectOptions> {
    PgConnectOptions::from_str(config.connection_string.expose_secret())
        .map(|options| options.options(SESSION_SETTINGS))
        // The error may quote the connection string, which holds a password.
        .map_err(|_| {
            anyhow::anyhow!("postgres.connection_string must look like postgres://user:password@host:port/database")
        })
}
