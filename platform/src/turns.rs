//! Turns at things that are locked in the database. Who waits for a row in a transaction holds a connection meanwhile, and
//! others need it who wait for nothing. So only a few go to the database for one thing; the others wait here, in order.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Debug,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::failure::Failure;

/// One changes the thing while the other prepares to, so that the thing is not idle in between.
const AT_ONCE: usize = 2;
/// More do not wait for one thing. Who waits holds one of the places that a service has for all its calls.
const MOST_WAITING: usize = 128;

pub trait Thing: Copy + Debug + Eq + Hash + Send + 'static {}
impl<T: Copy + Debug + Eq + Hash + Send + 'static> Thing for T {}

/// Clones share the turns.
#[derive(Debug, Clone)]
pub struct Turns<T: Thing>(Arc<Mutex<HashMap<T, Queue<T>>>>);

#[derive(Debug)]
struct Queue<T: Thing> {
    taken: usize,
    waiting: VecDeque<oneshot::Sender<Turn<T>>>,
}

/// A turn at a thing. It ends when it is dropped.
#[derive(Debug)]
pub struct Turn<T: Thing> {
    thing: T,
    /// `None` after it was offered to somebody who has left.
    turns: Option<Turns<T>>,
}

impl<T: Thing> Default for Turns<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Thing> Turns<T> {
    /// Waits for a turn. Fails at once if too many wait for the same thing.
    pub async fn take(&self, thing: T) -> Result<Turn<T>, Failure> {
        let granted = {
            let mut queues = self.lock();
            let queue = queues.entry(thing).or_insert_with(|| Queue { taken: 0, waiting: VecDeque::new() });
            if queue.taken < AT_ONCE {
                queue.taken += 1;
                return Ok(Turn { thing, turns: Some(self.clone()) });
            }
            queue.waiting.retain(|waiting| !waiting.is_closed());
            if queue.waiting.len() >= MOST_WAITING {
                return Err(Failure::overloaded(format!("too many calls wait for {thing:?}")));
            }
            let (grant, granted) = oneshot::channel();
            queue.waiting.push_back(grant);
            granted
        };
        // Who waits is in the queue until the turn is granted.
        granted.await.map_err(Failure::unforeseen)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<T, Queue<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Thing> Drop for Turn<T> {
    fn drop(&mut self) {
        let Some(turns) = self.turns.take() else { return };
        let mut queues = turns.lock();
        let Some(queue) = queues.get_mut(&self.thing) else { return };
        while let Some(grant) = queue.waiting.pop_front() {
            match grant.send(Self { thing: self.thing, turns: Some(turns.clone()) }) {
                Ok(()) => return,
                Err(mut refused) => refused.turns = None,
            }
        }
        queue.taken -= 1;
        if queue.taken == 0 {
            queues.remove(&self.thing);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{future::Future, pin::pin, task::Poll};

    use futures::poll;

    use super::*;

    async fn is_waiting<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
        matches!(poll!(future), Poll::Pending)
    }

    async fn two_at(turns: &Turns<i64>, thing: i64) -> (Turn<i64>, Turn<i64>) {
        (turns.take(thing).await.unwrap(), turns.take(thing).await.unwrap())
    }

    #[tokio::test]
    async fn a_few_go_at_once_and_the_others_follow_in_their_order() {
        let turns = Turns::default();
        let (first, _second) = two_at(&turns, 7).await;
        let mut third = pin!(turns.take(7));
        let mut fourth = pin!(turns.take(7));
        assert!(is_waiting(third.as_mut()).await && is_waiting(fourth.as_mut()).await);
        drop(first);
        let third = third.await.unwrap();
        assert!(is_waiting(fourth.as_mut()).await);
        drop(third);
        fourth.await.unwrap();
    }

    #[tokio::test]
    async fn who_waits_for_one_thing_holds_nobody_up_at_another() {
        let turns = Turns::default();
        let _held = two_at(&turns, 7).await;
        let mut waiting = pin!(turns.take(7));
        assert!(is_waiting(waiting.as_mut()).await);
        two_at(&turns, 8).await;
    }

    #[tokio::test]
    async fn who_leaves_takes_no_turn_along() {
        let turns = Turns::default();
        let held = two_at(&turns, 7).await;
        let mut stays = pin!(turns.take(7));
        {
            let mut left = pin!(turns.take(7));
            assert!(is_waiting(left.as_mut()).await && is_waiting(stays.as_mut()).await);
        }
        drop(held);
        stays.await.unwrap();
        two_at(&turns, 7).await;
        assert!(turns.lock().is_empty());
    }

    #[tokio::test]
    async fn one_too_many_is_refused_at_once() {
        let turns = Turns::default();
        let _held = two_at(&turns, 7).await;
        let mut waiting: Vec<_> = (0..MOST_WAITING).map(|_| Box::pin(turns.take(7))).collect();
        for waiting in &mut waiting {
            assert!(is_waiting(waiting.as_mut()).await);
        }
        assert!(matches!(turns.take(7).await, Err(Failure::Overloaded(_))));
        // Who leaves makes room.
        waiting.pop();
        let mut last = pin!(turns.take(7));
        assert!(is_waiting(last.as_mut()).await);
    }
}
