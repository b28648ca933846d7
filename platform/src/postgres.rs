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
mod revert;
mod rows;
mod server;
mod single;
mod transaction;
mod trust;

use std::{collections::BTreeSet, future::Future, io::ErrorKind::TimedOut, sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use sqlx::{migrate::Migrator, postgres::PgConnectOptions};
use tracing::{Instrument as _, Span, field::Empty, info_span};

pub(crate) use errors::is_of_the_data;
pub use migrations::migrate;
pub use revert::{Dropped, Reverted, revert};
pub use rows::{MAX_COUNTED, expect_rows, read};
pub use server::PLANNING;
pub use transaction::Transaction;

use crate::{
    config::service::PostgresConfig,
    failure::{Failure, Transient},
    metrics::postgres as metrics,
    telemetry::trace,
};
use keeper::{Keeper, State};
use lease::{Begin, Lease};
use observe::{Instrumentation, TransactionGuard};
use pool::Pool;
use server::Server;
use trust::Trust;

/// What to do about locks that others hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locks {
    /// Do not wait. Leave out the calls that need them.
    Skip,
    /// Wait, and fail with [`Failure::Locked`] if it takes too long.
    Wait,
}

/// The longest that a statement may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// For a batch that is to pass over what others hold, and finds more of it than it could know.
const SKIPPED_LOCK_TIMEOUT: Duration = Duration::from_millis(100);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For transactions that conflicted with others.
const RETRY_POLICY: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(5))
    .with_max_delay(Duration::from_millis(100))
    .with_max_times(5)
    .with_jitter();

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

/// Runs an attempt again if it conflicted with others.
async fn retry<T, E, F>(name: &'static str, attempt: impl FnMut() -> F) -> Result<T, E>
where
    E: Transient,
    F: Future<Output = Result<T, E>>,
{
    attempt.retry(RETRY_POLICY).when(Transient::is_contention).notify(|_, _| metrics::count_retry(name)).await
}

impl Database {
    /// Waits for a database that is down. Fails if the connection string is unusable or the database lacks migrations.
    pub async fn connect(service: &str, config: &PostgresConfig, migrations: &Migrator) -> anyhow::Result<Self> {
        let server = Server::new(service, config)?;
        migrations::require_current(service, &mut server.wait().await?, migrations).await?;
        Ok(Self::open(server, config.max_connections, config.acquire_timeout))
    }

    /// Begins to open connections, without a check of the database. Must be called inside a Tokio runtime.
    pub fn new(options: PgConnectOptions, max_connections: u32, acquire_timeout: Duration) -> Self {
        Self::open(Server::direct(options), max_connections, acquire_timeout)
    }

    fn open(server: Server, max_connections: u32, acquire_timeout: Duration) -> Self {
        let instrumentation = Instrumentation::new(server.options());
        let (trust, keeper) = (Trust::default(), Keeper::start(server.clone()));
        let quarter = usize::try_from(max_connections / 4).unwrap_or(usize::MAX).max(1);
        let rest = usize::try_from(max_connections).unwrap_or(usize::MAX).saturating_sub(2 * quarter).max(1);
        let [writes, reads, background] = metrics::POOLS;
        let pool = |name, size| Pool::open(name, size, server.clone(), trust.clone(), keeper.clone());
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
        retry(name, || async { work(self.begin(name).await?).await }).await
    }

    /// Runs the transaction of a batch, as [`transact`](Self::transact) does. From its beginning on it holds advisory locks
    /// of these keys; `work` learns which of them others hold instead. With [`Locks::Skip`], it fails with
    /// [`Failure::Locked`] when it would wait for any lock for long.
    pub async fn transact_batch<T, E, F>(
        &self,
        name: &'static str,
        keys: &BTreeSet<i64>,
        locks: Locks,
        work: impl Fn(Transaction, BTreeSet<i64>) -> F,
    ) -> Result<T, E>
    where
        E: From<Failure> + Transient,
        F: Future<Output = Result<T, E>>,
    {
        let lock_timeout = (locks == Locks::Skip).then_some(SKIPPED_LOCK_TIMEOUT);
        let begin = Begin { locks: Some((keys, locks)), lock_timeout };
        let attempt = || async {
            let (transaction, held) = self.begin_with(name, &begin).await?;
            work(transaction, held).await
        };
        retry(name, attempt).await
    }

    pub async fn begin(&self, name: &'static str) -> Result<Transaction, Failure> {
        Ok(self.begin_with(name, &Begin::default()).await?.0)
    }

    /// Begins a transaction that holds advisory locks of these keys. Also answers which of them others hold instead; none
    /// if it waits for them.
    pub async fn begin_locked(
        &self,
        name: &'static str,
        keys: &BTreeSet<i64>,
        locks: Locks,
    ) -> Result<(Transaction, BTreeSet<i64>), Failure> {
        self.begin_with(name, &Begin { locks: Some((keys, locks)), lock_timeout: None }).await
    }

    async fn begin_with(&self, name: &'static str, begin: &Begin<'_>) -> Result<(Transaction, BTreeSet<i64>), Failure> {
        let span = self.instrumentation.transaction_span(name);
        let pool = match self.lane {
            Lane::Calls => &self.pools.writes,
            Lane::Background => &self.pools.background,
        };
        let begun = async {
            let crowding = pool.crowding();
            let mut lease = self.lend(pool).await?;
            let guard = TransactionGuard::new(name, Some(span.clone()), self.instrumentation.clone());
            let held = lease.begin(crowding, begin).await.inspect_err(|error| guard.fail(&span, error))?;
            Ok((Transaction::new(lease, guard), held))
        };
        let begun = begun.instrument(span.clone()).await.map_err(|error: sqlx::Error| Failure::from(error));
        begun.inspect_err(|failure| trace::fail(&span, failure.kind()))
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
            State::Full if !(self.pools.writes.is_open() && self.pools.reads.is_open()) => {
                Some("Postgres gives no connections")
            }
            State::Writes | State::Full => None,
            State::OnlyReads => Some("Postgres only reads"),
            State::Silent => Some("Postgres does not answer"),
        }
    }
}
