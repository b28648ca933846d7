//! A connection that is lent. Everything that is done on it has an end, also when Postgres does not answer. When it is
//! given back in the middle of a statement or a transaction, these are ended on the server before it is lent again.

use std::{collections::BTreeSet, time::Duration};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _, raw_sql};

use super::{
    Locks, STATEMENT_TIMEOUT, errors,
    pool::{Connection, Pool},
    transaction::Query,
};
use crate::{deadline, metrics::postgres as metrics};

/// On our side. A server that lives ends a statement earlier.
const STATEMENT_LIMIT: Duration = STATEMENT_TIMEOUT.saturating_add(Duration::from_secs(2));
/// How long a transaction waits for a lock: well below the deadline of a call, because a connection waits with it. The
/// more wait for a connection, the shorter.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
const MIN_LOCK_TIMEOUT: Duration = Duration::from_millis(250);
/// The call itself hears of its deadline first.
const CANCEL_TIME: Duration = Duration::from_millis(500);
/// For the end of what was going on when a connection is given back.
const RECOVERY_LIMIT: Duration = Duration::from_secs(2);

/// How a transaction begins.
#[derive(Debug, Default)]
pub(super) struct Begin<'a> {
    /// The advisory locks that it takes, by numbers that mean something to those who take them, and what to do about those
    /// that others hold.
    pub locks: Option<(&'a BTreeSet<i64>, Locks)>,
    /// How long it waits for a lock; if it is not said, as long as any.
    pub lock_timeout: Option<Duration>,
}

impl Begin<'_> {
    /// The rows of the statement are the keys of locks that others hold. All wait in the order of the keys, so that nobody
    /// waits in a circle.
    fn lock(&self) -> Option<String> {
        let (keys, locks) = self.locks.filter(|(keys, _)| !keys.is_empty())?;
        let keys = keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let is_held = match locks {
            Locks::Skip => "NOT pg_try_advisory_xact_lock(key)",
            // Returns a value, if only an empty one.
            Locks::Wait => "pg_advisory_xact_lock(key) IS NULL",
        };
        Some(format!("/* lock */ SELECT key FROM unnest('{{{keys}}}'::bigint[]) AS key WHERE {is_held}"))
    }
}

#[derive(Debug)]
pub(super) struct Lease {
    /// Only taken when the lease ends.
    connection: Option<Connection>,
    pool: Pool,
    /// Whether a statement has not ended yet.
    is_busy: bool,
    is_in_transaction: bool,
    /// Whether nobody knows what the connection does, or where it leads to.
    is_broken: bool,
}

impl Lease {
    pub fn new(connection: Connection, pool: Pool) -> Self {
        Self { connection: Some(connection), pool, is_busy: false, is_in_transaction: false, is_broken: false }
    }

    /// Does something on the connection. A statement that takes too long fails.
    async fn run<T>(&mut self, work: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>) -> sqlx::Result<T> {
        self.run_within(STATEMENT_LIMIT, work).await
    }

    /// Executes a query.
    pub async fn execute<T>(
        &mut self,
        mut query: Query,
        fetch: impl AsyncFnOnce(&mut PgConnection, Query) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        query.persistent &= !self.pool.server().is_pooled();
        self.run(async |connection| fetch(connection, query).await).await
    }

    /// Begins a transaction. It waits for locks only for a while, the shorter the more wait for a connection. That of a
    /// call also ends when the time of the call is over, if nobody lives to cancel it. Returns the keys of the locks that
    /// others hold.
    pub async fn begin(&mut self, crowding: usize, begin: &Begin<'_>) -> sqlx::Result<BTreeSet<i64>> {
        let crowding = u32::try_from(crowding).unwrap_or(u32::MAX).saturating_add(1);
        let lock_timeout = begin.lock_timeout.unwrap_or((LOCK_TIMEOUT / crowding).max(MIN_LOCK_TIMEOUT));
        let mut settings = vec![("lock_timeout", lock_timeout)];
        if let Some(remaining) = deadline::remaining() {
            settings.push(("statement_timeout", (remaining + CANCEL_TIME).min(STATEMENT_TIMEOUT)));
        }
        let mut text = self.pool.server().begin(&settings);
        if let Some(lock) = begin.lock() {
            text.push_str("; ");
            text.push_str(&lock);
        }
        self.is_in_transaction = true;
        let rows = self.run(async |connection| connection.fetch_all(AssertSqlSafe(text)).await).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }

    pub async fn commit(&mut self) -> sqlx::Result<()> {
        self.run(async |connection| connection.execute("COMMIT").await).await?;
        self.is_in_transaction = false;
        Ok(())
    }

    pub async fn roll_back(&mut self) -> sqlx::Result<()> {
        self.run(async |connection| connection.execute("ROLLBACK").await).await?;
        self.is_in_transaction = false;
        Ok(())
    }

    /// Whether the connection answers.
    pub async fn lives(&mut self, limit: Duration) -> bool {
        self.run_within(limit, async |connection| connection.ping().await).await.is_ok()
    }

    async fn run_within<T>(
        &mut self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        let Some(connection) = &mut self.connection else { return Err(sqlx::Error::PoolClosed) };
        metrics::ROUND_TRIPS.with([self.pool.name()]).inc();
        self.is_busy = true;
        let result = errors::within(limit, work(&mut connection.inner)).await;
        self.is_busy = false;
        if let Err(error) = &result
            && (errors::is_wrong_server(error) || errors::is_of_the_connection(error))
        {
            // Other connections of the same age most likely lead to the same place.
            self.pool.trust().end();
            self.is_broken = true;
        }
        self.is_broken |= matches!(&result, Err(error) if errors::is_panic(error));
        result
    }

    /// The connection is not lent again.
    pub fn give_up(&mut self) {
        self.is_broken = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if self.is_broken {
            return self.pool.discard(connection);
        }
        if !self.is_busy && !self.is_in_transaction {
            return self.pool.put_back(connection);
        }
        // Without a runtime, the process ends.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return self.pool.discard(connection) };
        runtime.spawn(recover(connection, self.pool.clone(), self.is_busy, self.is_in_transaction));
    }
}

/// Ends what is going on in a connection, so that it can be lent again.
async fn recover(mut connection: Connection, pool: Pool, is_busy: bool, is_in_transaction: bool) {
    let recovered = errors::within(RECOVERY_LIMIT, async {
        if is_busy {
            // Without a number, the timeouts of the transaction end it.
            if let Some(backend) = connection.backend {
                pool.keeper().cancel(backend).await;
            }
            // The first answer may be that the statement was cancelled.
            while let Err(error) = connection.inner.ping().await {
                if errors::is_of_the_connection(&error) {
                    return Err(error);
                }
            }
        }
        // It may have been given back before the transaction began.
        if is_in_transaction && has_transaction(&mut connection.inner).await? {
            connection.inner.execute("ROLLBACK").await?;
        }
        Ok(())
    });
    match recovered.await {
        Ok(()) => pool.put_back(connection),
        Err(_) => {
            // Behind a pooler, the statement is not cancelled and may only take its time.
            if !pool.server().is_pooled() {
                pool.trust().end();
            }
            pool.discard(connection);
        }
    }
}

/// Whether the server is in a transaction, which began before this statement. To roll back without one is a warning in the
/// server's log and in ours.
async fn has_transaction(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let began = raw_sql("/* has_transaction */ SELECT now() < statement_timestamp()").fetch_one(connection).await;
    match began {
        Ok(row) => row.try_get(0),
        Err(error) if errors::is_failed_transaction(&error) => Ok(true),
        Err(error) => Err(error),
    }
}
