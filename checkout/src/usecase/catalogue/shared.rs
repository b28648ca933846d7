//! Work that everybody who needs it at the same time shares. It goes on as long as anybody waits for it: one who stops
//! waiting does not end it for the others, and when the last one does, it ends.

use std::{
    collections::HashMap,
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared as SharedFuture, WeakShared},
};
use tracing::{Span, instrument::Instrumented};

/// Work that can be waited for by many.
pub type Work<T> = SharedFuture<BoxFuture<'static, T>>;

/// The work that is under way, by what it is about.
pub struct Shared<K, T: Clone>(Mutex<Running<K, T>>);

struct Running<K, T: Clone> {
    works: HashMap<K, Started<T>>,
    begun: u64,
}

struct Started<T: Clone> {
    number: u64,
    work: WeakShared<BoxFuture<'static, T>>,
    span: Span,
}

impl<K, T: Clone> Default for Shared<K, T> {
    fn default() -> Self {
        Self(Mutex::new(Running { works: HashMap::new(), begun: 0 }))
    }
}

impl<K: Eq + Hash, T: Clone> Shared<K, T> {
    fn running(&self) -> MutexGuard<'_, Running<K, T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, T> Shared<K, T>
where
    K: Eq + Hash + Copy + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Joins the work on `key` that is under way (then also answers its span), or begins it.
    pub fn join<F>(self: &Arc<Self>, key: K, begin: impl FnOnce() -> Instrumented<F>) -> (Work<T>, Option<Span>)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut running = self.running();
        if let Some(started) = running.works.get(&key)
            && let Some(work) = started.work.upgrade()
        {
            return (work, Some(started.span.clone()));
        }
        running.begun += 1;
        let number = running.begun;
        let (work, end) = (begin(), End { shared: Arc::clone(self), key, number });
        let span = work.span().clone();
        let work = async move {
            let _end = end;
            work.await
        };
        let work = work.boxed().shared();
        if let Some(weak) = work.downgrade() {
            running.works.insert(key, Started { number, work: weak, span });
        }
        (work, None)
    }
}

/// Forgets work when it ends: when it is done, or when nobody waits for it any more.
struct End<K: Eq + Hash, T: Clone> {
    shared: Arc<Shared<K, T>>,
    key: K,
    number: u64,
}

impl<K: Eq + Hash, T: Clone> Drop for End<K, T> {
    fn drop(&mut self) {
        let mut running = self.shared.running();
        // Another may have begun since the last one stopped waiting for this.
        if running.works.get(&self.key).is_some_and(|started| started.number == self.number) {
            running.works.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::Duration,
    };

    use tokio::time::{sleep, timeout};
    use tracing::Instrument as _;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[derive(Default)]
    struct World {
        shared: Arc<Shared<u32, u32>>,
        begun: Arc<AtomicU32>,
        done: Arc<AtomicU32>,
    }

    impl World {
        /// Joins work on `key` that takes a second.
        fn join(&self, key: u32) -> Work<u32> {
            let (begun, done) = (Arc::clone(&self.begun), Arc::clone(&self.done));
            let work = || async move {
                begun.fetch_add(1, Ordering::Relaxed);
                sleep(SECOND).await;
                done.fetch_add(1, Ordering::Relaxed);
                key
            };
            self.shared.join(key, || work().instrument(Span::none())).0
        }

        fn counts(&self) -> (u32, u32) {
            (self.begun.load(Ordering::Relaxed), self.done.load(Ordering::Relaxed))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_come_while_it_runs_share_it_and_those_after_do_not() {
        let world = World::default();
        assert_eq!(tokio::join!(world.join(1), world.join(1), world.join(2)), (1, 1, 2));
        assert_eq!(world.counts(), (2, 2));
        assert!(world.shared.running().works.is_empty());
        world.join(1).await;
        assert_eq!(world.counts(), (3, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_to_stop_waiting_does_not_end_it_for_the_others() {
        let world = World::default();
        let first = timeout(SECOND / 2, world.join(1));
        let second = world.join(1);
        let (first, second) = tokio::join!(first, second);
        assert!(first.is_err());
        assert_eq!((second, world.counts()), (1, (1, 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_the_last_stops_waiting_and_begins_anew_for_the_next() {
        let world = World::default();
        assert!(timeout(SECOND / 2, futures::future::join(world.join(1), world.join(1))).await.is_err());
        assert!(world.shared.running().works.is_empty());
        sleep(SECOND).await;
        assert_eq!(world.counts(), (1, 0));
        world.join(1).await;
        assert_eq!(world.counts(), (2, 1));
    }
}
