//! A pool of connections. It is as large as it may be from the start: a task of its own opens connections and replaces
//! lost ones, so no caller ever waits for one to be opened, and callers are served in their order.
//!
//! Libraries for pools let the caller who finds no idle connection open one (sqlx, deadpool) or serve callers in no order
//! (bb8). Under load the former throws away what it opens too late, the latter lets callers starve.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use sqlx::{PgConnection, Row as _, raw_sql};
use tokio::sync::{Notify, Semaphore};
use tracing::{debug, info, warn};

use super::{errors, keeper::Keeper, lease::Lease, server::Server, trust::Trust};
use crate::metrics::postgres as metrics;

/// A connection that was not used for this long is tried before it is lent: its server may be gone.
const TRY_AFTER: Duration = Duration::from_secs(1);
/// The try takes less than the wait for a connection may (`acquire_timeout`), so that another one can be had.
const TRY_TIMEOUT: Duration = Duration::from_secs(1);
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
const REOPEN_PAUSE: Duration = Duration::from_millis(200);
/// The server or the role may have no more connections. Those that are open serve meanwhile.
const FULL_SERVER_PAUSE: Duration = Duration::from_secs(5);

/// Clones lend the same connections.
#[derive(Debug, Clone)]
pub(super) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: &'static str,
    size: usize,
    server: Server,
    trust: Trust,
    keeper: Keeper,
    /// The connection that was used last comes last.
    idle: Mutex<Vec<Connection>>,
    /// A permit for each idle connection. Waiters queue in their order.
    available: Semaphore,
    open: AtomicUsize,
    waiting: AtomicUsize,
    lost: Notify,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub inner: PgConnection,
    /// The number of the server process, by which its statement can be cancelled; a pooler's changes.
    pub backend: Option<i32>,
    opened_at: Instant,
    used_at: Instant,
}

impl Pool {
    /// Begins to open connections. Must be called inside a Tokio runtime.
    pub fn open(name: &'static str, size: usize, server: Server, trust: Trust, keeper: Keeper) -> Self {
        let inner = Arc::new(Inner {
            name,
            size,
            server,
            trust,
            keeper,
            idle: Mutex::default(),
            available: Semaphore::new(0),
            open: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            lost: Notify::new(),
        });
        metrics::MAX_CONNECTIONS.with_label_values(&[name]).set(size.try_into().unwrap_or(i64::MAX));
        tokio::spawn(keep_open(Arc::downgrade(&inner)));
        Self(inner)
    }

    pub fn name(&self) -> &'static str {
        self.0.name
    }

    pub fn server(&self) -> &Server {
        &self.0.server
    }

    pub fn keeper(&self) -> &Keeper {
        &self.0.keeper
    }

    pub fn trust(&self) -> &Trust {
        &self.0.trust
    }

    /// Waits for a connection that lives. Dropping the future gives up the place in the queue and nothing else.
    pub async fn lend(&self) -> Lease {
        loop {
            let Ok(permit) = self.0.available.acquire().await else { std::future::pending().await };
            let Some(connection) = self.0.idle().pop() else { continue };
            permit.forget();
            let is_trusted = self.0.trust.covers(connection.opened_at.elapsed());
            let must_be_tried = connection.used_at.elapsed() > TRY_AFTER;
            let mut lease = Lease::new(connection, self.clone());
            if is_trusted && (!must_be_tried || lease.lives(TRY_TIMEOUT).await) {
                return lease;
            }
            lease.give_up();
        }
    }

    pub fn put_back(&self, mut connection: Connection) {
        connection.used_at = Instant::now();
        self.0.idle().push(connection);
        self.0.available.add_permits(1);
    }

    /// Closes a connection; another one is opened.
    pub fn discard(&self, connection: Connection) {
        // Closing the socket is enough: nothing runs in it, or nobody can say what.
        drop(connection);
        self.0.open.fetch_sub(1, Relaxed);
        self.0.lost.notify_one();
    }

    /// Whether all connections that the pool may have are in use.
    pub fn is_exhausted(&self) -> bool {
        self.0.open.load(Relaxed) > 0 && self.0.available.available_permits() == 0
    }

    /// Whether any connection is open.
    pub fn is_open(&self) -> bool {
        self.0.open.load(Relaxed) > 0
    }

    /// Counts and times somebody who waits for a connection, until the guard is dropped.
    pub fn wait(&self) -> Waiting<'_> {
        self.0.waiting.fetch_add(1, Relaxed);
        metrics::WAITING.with_label_values(&[self.0.name]).inc();
        Waiting { pool: &self.0, began_at: Instant::now() }
    }

    /// How many wait for a connection, for each connection that there may be.
    pub fn crowding(&self) -> usize {
        self.0.waiting.load(Relaxed) / self.0.size
    }

    pub fn update_metrics(&self) {
        metrics::set_pool(self.0.name, self.0.idle().len(), self.0.open.load(Relaxed));
    }
}

pub(super) struct Waiting<'a> {
    pool: &'a Inner,
    began_at: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Self { pool: Inner { name, waiting, .. }, began_at } = self;
        waiting.fetch_sub(1, Relaxed);
        metrics::WAITING.with_label_values(&[name]).dec();
        metrics::WAIT_SECONDS.with_label_values(&[name]).observe(began_at.elapsed().as_secs_f64());
    }
}

impl Inner {
    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens connections, one after the other, until the pool is as large as it may be, and again when one is lost. Ends with
/// the pool.
async fn keep_open(pool: Weak<Inner>) {
    let mut has_failed = false;
    loop {
        let Some(inner) = pool.upgrade() else { return };
        if inner.open.load(Relaxed) >= inner.size {
            // A pool that nobody has any more is noticed at the next look.
            let _ = tokio::time::timeout(FULL_SERVER_PAUSE, inner.lost.notified()).await;
            continue;
        }
        let pause = match open(&inner.server).await {
            Ok(connection) => {
                inner.open.fetch_add(1, Relaxed);
                Pool(Arc::clone(&inner)).put_back(connection);
                if std::mem::take(&mut has_failed) {
                    info!(pool = inner.name, "Postgres gives connections again");
                }
                continue;
            }
            Err(error) => {
                let is_full = errors::is_full_server(&error);
                if std::mem::replace(&mut has_failed, true) {
                    debug!(pool = inner.name, %error, "Postgres still gives no connection");
                } else {
                    warn!(pool = inner.name, %error, "Postgres gives no connection; those that are open go on");
                }
                if is_full && inner.open.load(Relaxed) > 0 { FULL_SERVER_PAUSE } else { REOPEN_PAUSE }
            }
        };
        drop(inner);
        tokio::time::sleep(pause).await;
    }
}

async fn open(server: &Server) -> sqlx::Result<Connection> {
    errors::within(OPEN_TIMEOUT, async {
        let mut inner = server.connect().await?;
        let backend = raw_sql("/* backend */ SELECT pg_backend_pid()").fetch_one(&mut inner).await?.try_get(0)?;
        let backend = Some(backend).filter(|_| !server.is_pooled());
        let now = Instant::now();
        Ok(Connection { inner, backend, opened_at: now, used_at: now })
    })
    .await
}
