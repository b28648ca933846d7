//! The limits that ProductService sets to its callers: so many calls in any second, so many at once.
//!
//! A limiter that spaces calls out when they are sent cannot promise how they arrive: a slow network may deliver two
//! calls at once. Here a call takes one of as many slots as there may be calls in a second, and the slot is free again
//! a second after the call ended. Whenever in between the call arrived, the next one in its slot arrives more than a
//! second later, so no second sees more calls than there are slots. A cart of ten lines need not wait at all. A call that
//! nobody waited for to its end may still be on its way: its slot is kept a second longer.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tracing::{Instrument as _, info_span};

use crate::metrics;

const SECOND: Duration = Duration::from_secs(1);
/// How long a call that was given up may still be on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// Gives out turns, in the order in which they are asked for.
pub struct Limits {
    at_once: Arc<Semaphore>,
    in_a_second: Arc<Semaphore>,
}

/// Permission to make one call, until the drop.
pub struct Turn {
    _at_once: Option<OwnedSemaphorePermit>,
    slot: Option<OwnedSemaphorePermit>,
    is_answered: bool,
}

/// Somebody who waits for a turn, until the drop: also who gives up has waited.
struct Waiting(Instant);

impl Limits {
    /// At most so many calls in any second, and at once.
    pub fn new(in_a_second: u16, at_once: u16) -> Self {
        let semaphore = |permits: u16| Arc::new(Semaphore::new(permits.into()));
        Self { at_once: semaphore(at_once), in_a_second: semaphore(in_a_second) }
    }

    /// Waits for a turn. Whoever stops waiting has taken nothing.
    pub async fn turn(&self) -> Turn {
        let _waiting = Waiting(Instant::now());
        let mut turn = pin!(self.take());
        // Only a wait that is one shows in the trace.
        match turn.as_mut().now_or_never() {
            Some(turn) => turn,
            None => turn.instrument(info_span!("wait for turn")).await,
        }
    }

    async fn take(&self) -> Turn {
        // Fails only for a closed semaphore, and nobody closes these.
        let at_once = Arc::clone(&self.at_once).acquire_owned().await.ok();
        let slot = Arc::clone(&self.in_a_second).acquire_owned().await.ok();
        Turn { _at_once: at_once, slot, is_answered: false }
    }
}

impl Turn {
    /// The call came to its end: nothing of it is on its way any more.
    pub fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        metrics::PRODUCT_LIMIT_WAIT_SECONDS.observe(self.0.elapsed().as_secs_f64());
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Without a runtime the process ends, and makes no more calls.
        if let (Some(slot), Ok(runtime)) = (self.slot.take(), Handle::try_current()) {
            let pause = if self.is_answered { SECOND } else { SECOND + ON_ITS_WAY };
            runtime.spawn(async move {
                tokio::time::sleep(pause).await;
                drop(slot);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_second_sees_more_calls_than_allowed_however_late_they_arrive() {
        let limits = Arc::new(Limits::new(10, 100));
        let begin = tokio::time::Instant::now();
        let call = |number: u64| {
            let limits = Arc::clone(&limits);
            async move {
                let turn = limits.turn().await;
                // On its way for up to 0.4 s.
                tokio::time::sleep(Duration::from_millis(number * 37 % 400)).await;
                turn.answered();
                begin.elapsed()
            }
        };
        let mut arrivals = join_all((0..100).map(call)).await;
        arrivals.sort();
        assert!(arrivals.windows(11).all(|row| row[10] - row[0] >= SECOND), "{arrivals:?}");
        assert!(arrivals[99] < Duration::from_secs(14), "{arrivals:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_were_given_up_count_when_they_arrive_after_all() {
        let limits = Arc::new(Limits::new(10, 100));
        let begin = tokio::time::Instant::now();
        let call = |number: u64| {
            let limits = Arc::clone(&limits);
            async move {
                let turn = limits.turn().await;
                let on_its_way = Duration::from_millis(number * 37 % 900);
                // Every third call is given up at once.
                if number.is_multiple_of(3) {
                    drop(turn);
                    tokio::time::sleep(on_its_way).await;
                } else {
                    tokio::time::sleep(on_its_way).await;
                    turn.answered();
                }
                begin.elapsed()
            }
        };
        let mut arrivals = join_all((0..100).map(call)).await;
        arrivals.sort();
        assert!(arrivals.windows(11).all(|row| row[10] - row[0] >= SECOND), "{arrivals:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_calls_run_at_once_as_allowed() {
        let limits = Limits::new(10, 5);
        let turns: Vec<_> = join_all((0..5).map(|_| limits.turn())).await;
        assert!(limits.turn().now_or_never().is_none());
        drop(turns);
        assert!(limits.turn().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_stops_waiting_has_taken_nothing() {
        let waits = metrics::PRODUCT_LIMIT_WAIT_SECONDS.get_sample_count();
        let limits = Limits::new(1, 1);
        limits.turn().await.answered();
        for _ in 0..10 {
            assert!(limits.turn().now_or_never().is_none());
        }
        // Others that run now may wait as well.
        assert!(metrics::PRODUCT_LIMIT_WAIT_SECONDS.get_sample_count() - waits >= 11);
        tokio::time::sleep(SECOND + Duration::from_millis(1)).await;
        assert!(limits.turn().now_or_never().is_some());
    }
}
