//! Who gets the next turn at ProductService: the users who wait, one after the other, whatever each of them waits for;
//! background work when no user does.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use proto::ids::{Sku, UserId};
use tokio::sync::oneshot;

/// Lookups that wait for a turn `T`, and the users who want them.
#[derive(Debug)]
pub struct Queue<T>(Arc<Mutex<Inner<T>>>);

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Inner {
            clock: 0,
            users: HashMap::new(),
            wanted: HashMap::new(),
            waiting: HashMap::new(),
            background: VecDeque::new(),
        })))
    }
}

#[derive(Debug)]
struct Inner<T> {
    /// Grows with everything that happens.
    clock: u64,
    users: HashMap<UserId, User>,
    /// Who wants what, whether its lookup waits, runs or is yet to begin.
    wanted: HashMap<Sku, Vec<UserId>>,
    waiting: HashMap<Sku, Waiting<T>>,
    background: VecDeque<oneshot::Sender<T>>,
}

#[derive(Debug)]
struct User {
    /// When a turn last went to what the user wants, or when the user came.
    served: u64,
    wants: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    since: u64,
    turn: oneshot::Sender<T>,
}

impl<T> Queue<T> {
    fn inner(&self) -> MutexGuard<'_, Inner<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a user wants a product, until the drop.
    pub fn want(&self, user: UserId, sku: Sku) -> Want<T> {
        let mut inner = self.inner();
        let now = inner.tick();
        inner.users.entry(user).or_insert(User { served: now, wants: 0 }).wants += 1;
        inner.wanted.entry(sku).or_default().push(user);
        drop(inner);
        Want { queue: self.clone(), user, sku }
    }

    /// Has the lookup of a product wait, until the drop. A product is looked up once at a time.
    pub fn enter(&self, sku: Sku) -> Entered<T> {
        let (turn, granted) = oneshot::channel();
        let mut inner = self.inner();
        let since = inner.tick();
        inner.waiting.insert(sku, Waiting { since, turn });
        drop(inner);
        Entered { queue: self.clone(), sku, since, granted }
    }

    /// Has background work wait.
    pub fn enter_behind(&self) -> oneshot::Receiver<T> {
        let (turn, granted) = oneshot::channel();
        self.inner().background.push_back(turn);
        granted
    }

    /// Whether a user waits.
    pub fn has_users(&self) -> bool {
        !self.inner().waiting.is_empty()
    }

    /// Gives a turn to whom it belongs; gives it back if nobody waits.
    pub fn grant(&self, mut turn: T) -> Option<T> {
        let mut inner = self.inner();
        while let Some(next) = inner.next() {
            turn = next.send(turn).err()?;
        }
        Some(turn)
    }
}

impl<T> Inner<T> {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn next(&mut self) -> Option<oneshot::Sender<T>> {
        let Self { users, wanted, waiting, .. } = self;
        let served = |sku: &Sku| wanted.get(sku)?.iter().filter_map(|user| Some(users.get(user)?.served)).min();
        // What no user wants any more is about to leave.
        let rank = |(sku, waiting): (&Sku, &Waiting<T>)| Some((served(sku)?, waiting.since, *sku));
        let Some((_, _, sku)) = waiting.iter().filter_map(rank).min() else {
            return self.background.pop_front();
        };
        let now = self.tick();
        for user in self.wanted.get(&sku).into_iter().flatten() {
            if let Some(user) = self.users.get_mut(user) {
                user.served = now;
            }
        }
        self.waiting.remove(&sku).map(|waiting| waiting.turn)
    }
}

/// A user's wish for a product.
#[derive(Debug)]
pub struct Want<T> {
    queue: Queue<T>,
    user: UserId,
    sku: Sku,
}

impl<T> Drop for Want<T> {
    fn drop(&mut self) {
        let mut inner = self.queue.inner();
        if let Some(user) = inner.users.get_mut(&self.user) {
            user.wants -= 1;
            if user.wants == 0 {
                inner.users.remove(&self.user);
            }
        }
        if let Some(users) = inner.wanted.get_mut(&self.sku) {
            if let Some(place) = users.iter().position(|user| *user == self.user) {
                users.swap_remove(place);
            }
            if users.is_empty() {
                inner.wanted.remove(&self.sku);
            }
        }
    }
}

/// A lookup that waits.
#[derive(Debug)]
pub struct Entered<T> {
    queue: Queue<T>,
    sku: Sku,
    since: u64,
    pub granted: oneshot::Receiver<T>,
}

impl<T> Drop for Entered<T> {
    fn drop(&mut self) {
        let mut inner = self.queue.inner();
        if inner.waiting.get(&self.sku).is_some_and(|waiting| waiting.since == self.since) {
            inner.waiting.remove(&self.sku);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn sku(number: u32) -> Sku {
        Sku::try_from(number).unwrap()
    }

    fn user(number: i64) -> UserId {
        UserId::try_from(number).unwrap()
    }

    /// Each of these wants waits as a lookup of its own; answers the SKUs in the order of their turns.
    fn order(wants: &[(i64, u32)]) -> Vec<u32> {
        let queue = Queue::default();
        let _wants: Vec<_> = wants.iter().map(|(number, wanted)| queue.want(user(*number), sku(*wanted))).collect();
        let mut waiting: Vec<_> = wants.iter().map(|(_, wanted)| queue.enter(sku(*wanted))).collect();
        let mut order = Vec::new();
        while queue.grant(()).is_none() {
            let granted = waiting.iter_mut().position(|entered| entered.granted.try_recv().is_ok()).unwrap();
            order.push(waiting.remove(granted).sku.get());
        }
        assert!(waiting.is_empty());
        order
    }

    #[test]
    fn users_take_turns_however_much_each_of_them_wants() {
        assert_eq!(order(&[(1, 11), (1, 12), (1, 13), (2, 21), (3, 31), (3, 32)]), [11, 21, 31, 12, 32, 13]);
    }

    #[test]
    fn what_many_want_is_a_turn_for_each_of_them() {
        let queue = Queue::default();
        let _wants = [(1, 11), (1, 12), (2, 12), (3, 31)].map(|(number, wanted)| queue.want(user(number), sku(wanted)));
        let mut waiting = [12, 31, 11].map(|number| queue.enter(sku(number)));
        let mut next = || {
            assert!(queue.grant(()).is_none());
            let entered = waiting.iter_mut().find_map(|entered| entered.granted.try_recv().ok().map(|()| entered.sku));
            entered.unwrap().get()
        };
        assert_eq!([next(), next(), next()], [12, 31, 11]);
    }

    #[test]
    fn who_comes_later_is_behind_who_waits_and_before_what_these_want_besides() {
        let queue = Queue::default();
        let wants: Vec<_> = (11..=13).map(|number| queue.want(user(1), sku(number))).collect();
        let mut first: Vec<_> = (11..=13).map(|number| queue.enter(sku(number))).collect();
        assert!(queue.grant(()).is_none());
        let _later = queue.want(user(2), sku(21));
        let mut later = queue.enter(sku(21));
        assert!(queue.grant(()).is_none());
        assert!(first[1].granted.try_recv().is_ok() && later.granted.try_recv().is_err());
        assert!(queue.grant(()).is_none());
        assert!(first[2].granted.try_recv().is_err() && later.granted.try_recv().is_ok());
        drop(wants);
    }

    #[test]
    fn background_work_gets_what_no_user_waits_for_and_nobody_gets_what_nobody_waits_for() {
        let queue = Queue::default();
        let (mut background, _want) = (queue.enter_behind(), queue.want(user(1), sku(1)));
        let mut entered = queue.enter(sku(1));
        assert!(queue.grant(1).is_none());
        assert_eq!((entered.granted.try_recv().ok(), background.try_recv().ok()), (Some(1), None));
        assert!(queue.grant(2).is_none());
        assert_eq!(background.try_recv().ok(), Some(2));
        assert_eq!(queue.grant(3), Some(3));
    }

    #[test]
    fn who_gives_up_leaves_nothing_behind() {
        let queue = Queue::<u8>::default();
        let (want, entered) = (queue.want(user(1), sku(1)), queue.enter(sku(1)));
        drop(queue.enter_behind());
        drop((want, entered));
        assert!(!queue.has_users());
        assert_eq!(queue.grant(7), Some(7));
        let inner = queue.inner();
        assert!(inner.users.is_empty() && inner.wanted.is_empty() && inner.background.is_empty());
    }
}
