//! The limits that ProductService sets to its callers: so many calls in any second, so many at once, of all replicas
//! together.
//!
//! A limiter that spaces calls out when they are sent cannot promise how they arrive: a slow network may deliver two
//! calls at once. Here a call takes one of as many slots as there may be calls in a second, and the slot is free again
//! a second after the call ended. Whenever in between the call arrived, the next one in its slot arrives more than a
//! second later, so no second sees more calls than there are slots. A cart of ten lines need not wait at all. A call that
//! nobody waited for to its end may still be on its way: its slot is kept a second longer. The slots are rows of the
//! database, and who dies with one gives it back by the end of its lease.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use platform::{deadline, failure::Failure, postgres::Database};
use proto::ids::{Sku, UserId};
use tokio::{
    runtime::Handle,
    sync::{Mutex, Notify, OnceCell, oneshot},
    time::timeout,
};
use tracing::{Instrument as _, info_span};

use super::queue::{Queue, Want};
use crate::{
    clients::products::Attempt,
    metrics,
    store::product_turn::{self, NoTurn, Taken},
};

const SECOND: Duration = Duration::from_secs(1);
/// How long a call that was given up may still be on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(1);
/// How long a statement about turns may take, whoever waits for it: they are shared.
const STATEMENT: Duration = Duration::from_secs(2);
/// Other replicas may give a turn back before its time.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// What it takes to get a turn that is free.
const UNNOTICED: Duration = Duration::from_millis(20);

/// Gives out turns: to users one after the other, whatever each of them wants, and to background work what they leave.
#[derive(Debug, Clone)]
pub struct Turns {
    inner: Arc<Inner>,
    /// Whoever waits at the head of all takes the next turn, for whom it may be.
    head: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct Inner {
    database: Database,
    in_a_second: u16,
    at_once: u16,
    /// The longest that a turn is kept.
    lease: Duration,
    queue: Queue<Turn>,
    look_again: Arc<Notify>,
    made: OnceCell<()>,
}

/// Permission to make one call, until the drop.
#[derive(Debug)]
pub struct Turn {
    taken: Taken,
    database: Database,
    look_again: Arc<Notify>,
    /// How long after its end another call may arrive.
    pause: Duration,
}

/// Somebody who waits for a turn, until the drop: also who gives up has waited.
struct Waiting(Instant);

impl Turns {
    /// At most so many calls in any second, and at once, each of which takes so long at most.
    pub fn new(database: Database, in_a_second: u16, at_once: u16, call: Duration) -> Self {
        let inner = Inner {
            database,
            in_a_second,
            at_once,
            lease: call + SECOND + ON_ITS_WAY,
            queue: Queue::default(),
            look_again: Arc::default(),
            made: OnceCell::new(),
        };
        Self { inner: Arc::new(inner), head: Arc::default() }
    }

    /// Notes that a user wants a product, until the drop.
    pub fn want(&self, user: UserId, sku: Sku) -> Want<Turn> {
        self.inner.queue.want(user, sku)
    }

    /// Waits for the turn of a product that users want.
    pub async fn turn(&self, sku: Sku) -> Result<Turn, Failure> {
        let _waiting = Waiting(Instant::now());
        let mut entered = self.inner.queue.enter(sku);
        // Who waits at the head may be background work, which has less to choose from.
        self.inner.look_again.notify_one();
        let mut turn = pin!(self.wait(&mut entered.granted));
        // Only a wait that is one shows in the trace.
        match timeout(UNNOTICED, turn.as_mut()).await {
            Ok(turn) => turn,
            Err(_) => turn.instrument(info_span!("wait for turn")).await,
        }
    }

    /// Waits for a turn that no user wants.
    pub async fn turn_behind(&self) -> Result<Turn, Failure> {
        self.wait(&mut self.inner.queue.enter_behind()).await
    }

    async fn wait(&self, granted: &mut oneshot::Receiver<Turn>) -> Result<Turn, Failure> {
        loop {
            tokio::select! {
                biased;
                Ok(turn) = &mut *granted => return Ok(turn),
                _head = self.head.lock() => {
                    if let Ok(turn) = granted.try_recv() {
                        return Ok(turn);
                    }
                    let turn = self.take().await?;
                    // If nobody waits any more, it is given back.
                    drop(self.inner.queue.grant(turn));
                }
            }
        }
    }

    /// Takes the next turn that is free.
    async fn take(&self) -> Result<Turn, Failure> {
        loop {
            // A task, so that what is taken for somebody who gives up meanwhile is given back.
            let taken = tokio::spawn(Arc::clone(&self.inner).take().in_current_span()).await;
            match taken.map_err(Failure::unforeseen)?? {
                Ok(turn) => return Ok(turn),
                Err(NoTurn::Unmade) => self.inner.make().await?,
                Err(NoTurn::For(pause)) => {
                    let pause = pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
                    // Either way, it is time to look again.
                    let _ = timeout(pause, self.inner.look_again.notified()).await;
                }
            }
        }
    }
}

impl Inner {
    async fn make(&self) -> Result<(), Failure> {
        let make = product_turn::make(&self.database, self.in_a_second, self.at_once);
        deadline::scope(Instant::now() + STATEMENT, make).await
    }

    async fn take(self: Arc<Self>) -> Result<Result<Turn, NoTurn>, Failure> {
        // There may be fewer than this process may take.
        self.made.get_or_try_init(|| self.make()).await?;
        let Self { database, in_a_second, at_once, lease, queue, look_again, .. } = &*self;
        let take = async {
            // What users of any replica may want at once is left by background work.
            let share = |all: u16| if queue.has_users() { all } else { all.div_ceil(2) };
            product_turn::take(database, share(*in_a_second), share(*at_once), *lease).await
        };
        let taken = deadline::scope(Instant::now() + STATEMENT, take).await?;
        let (database, look_again) = (database.clone(), Arc::clone(look_again));
        Ok(taken.map(|taken| Turn { taken, database, look_again, pause: Duration::ZERO }))
    }
}

impl Turn {
    /// Makes the call.
    pub async fn call<T, R>(mut self, call: impl Future<Output = Attempt<T, R>>) -> Attempt<T, R> {
        self.pause = SECOND + ON_ITS_WAY;
        let attempt = call.await;
        if attempt.is_over {
            self.pause = SECOND;
        }
        attempt
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        metrics::PRODUCT_LIMIT_WAIT_SECONDS.observe(self.0.elapsed().as_secs_f64());
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (database, taken, pause) = (self.database.clone(), self.taken, self.pause);
        let look_again = Arc::clone(&self.look_again);
        let give_back = async move {
            // If it fails, the turn ends with its lease.
            let _ = deadline::scope(Instant::now() + STATEMENT, product_turn::give_back(&database, taken, pause)).await;
            look_again.notify_one();
        };
        // Without a runtime the process ends, and makes no more calls.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(give_back.in_current_span());
        }
    }
}
