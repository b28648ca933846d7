//! Turns at things that are locked in the database. Who waits for a row in a transaction holds a connection meanwhile, and
//! others need it who wait for nothing. So only a few go to the database for one thing; the others wait here, in order.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Debug,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// One changes the thing while the other prepares to, so that the thing is not idle in between.
const AT_ONCE: usize = 2;

pub trait Thing: Copy + Debug + Eq + Hash + Send + 'static {}
impl<T: Copy + Debug + Eq + Hash + Send + 'static> Thing for T {}

/// Clones share the turns.
#[derive(Debug, Clone)]
pub struct Turns<T: Thing>(Arc<Mutex<State<T>>>);

#[derive(Debug)]
struct State<T: Thing> {
    /// How many have a turn at each thing.
    taken: HashMap<T, usize>,
    waiting: VecDeque<(Vec<T>, oneshot::Sender<Turn<T>>)>,
}

/// A turn at some things. It ends when it is dropped.
#[derive(Debug)]
pub struct Turn<T: Thing> {
    things: Vec<T>,
    turns: Turns<T>,
}

impl<T: Thing> Default for Turns<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { taken: HashMap::new(), waiting: VecDeque::new() })))
    }
}

impl<T: Thing> Turns<T> {
    /// Waits for a turn at all of these things, each of which is named once. Who waits for one of them holds none of the
    /// others, so that nobody waits for a thing that is free.
    pub async fn take(&self, things: Vec<T>) -> Turn<T> {
        let granted = {
            let mut state = self.lock();
            if state.is_free(&things) {
                return self.grant(&mut state, things);
            }
            let (grant, granted) = oneshot::channel();
            state.waiting.push_back((things, grant));
            granted
        };
        match granted.await {
            Ok(turn) => turn,
            Err(_) => unreachable!("who waits is in the queue until the turn is granted"),
        }
    }

    fn grant(&self, state: &mut State<T>, things: Vec<T>) -> Turn<T> {
        for thing in &things {
            *state.taken.entry(*thing).or_default() += 1;
        }
        Turn { things, turns: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Thing> State<T> {
    fn is_free(&self, things: &[T]) -> bool {
        things.iter().all(|thing| self.taken.get(thing).is_none_or(|taken| *taken < AT_ONCE))
    }
}

impl<T: Thing> Drop for Turn<T> {
    fn drop(&mut self) {
        let mut refused = Vec::new();
        let mut state = self.turns.lock();
        for thing in &self.things {
            if let Some(taken) = state.taken.get_mut(thing) {
                *taken -= 1;
                if *taken == 0 {
                    state.taken.remove(thing);
                }
            }
        }
        for (things, grant) in std::mem::take(&mut state.waiting) {
            if grant.is_closed() {
                continue;
            }
            if !state.is_free(&things) {
                state.waiting.push_back((things, grant));
                continue;
            }
            let turn = self.turns.grant(&mut state, things);
            // Who left in this moment does not take it.
            refused.extend(grant.send(turn).err());
        }
        // The lock must be free for the turns that end here.
        drop(state);
        drop(refused);
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

    #[tokio::test]
    async fn a_few_go_at_once_and_the_others_follow_in_their_order() {
        let turns = Turns::default();
        let (first, _second) = (turns.take(vec![7]).await, turns.take(vec![7]).await);
        let mut third = pin!(turns.take(vec![7]));
        let mut fourth = pin!(turns.take(vec![7]));
        assert!(is_waiting(third.as_mut()).await && is_waiting(fourth.as_mut()).await);
        drop(first);
        let third = third.await;
        assert!(is_waiting(fourth.as_mut()).await);
        drop(third);
        fourth.await;
    }

    #[tokio::test]
    async fn who_waits_for_one_thing_holds_nobody_up_at_another() {
        let turns = Turns::default();
        let _hot = (turns.take(vec![7]).await, turns.take(vec![7]).await);
        let mut both = pin!(turns.take(vec![7, 8]));
        assert!(is_waiting(both.as_mut()).await);
        let _cold = (turns.take(vec![8]).await, turns.take(vec![8]).await);
    }

    #[tokio::test]
    async fn who_leaves_takes_no_turn_along() {
        let turns = Turns::default();
        let held = (turns.take(vec![7]).await, turns.take(vec![7]).await);
        {
            let mut left = pin!(turns.take(vec![7]));
            assert!(is_waiting(left.as_mut()).await);
        }
        drop(held);
        let _both = (turns.take(vec![7]).await, turns.take(vec![7]).await);
        assert!(turns.lock().waiting.is_empty());
    }
}
