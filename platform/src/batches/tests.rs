#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use futures::poll;
use tokio::sync::Semaphore;

use super::*;

/// What a call of a test does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Done(u32),
    /// Others hold it until a batch waits.
    Held(u32),
    /// Is held by others for too long.
    Locked,
    /// Makes a batch wait that was not to, until one waits.
    Blocked(u32),
    /// Has many rows.
    Large(u32),
    Hangs,
    /// Others hold it, and a batch that waits hangs.
    Stuck,
    Impossible,
    Panic,
}

use Wish::{Blocked, Done, Hangs, Held, Impossible, Large, Locked, Panic, Stuck};

/// Each transaction takes a permit, so that a test says when it ends.
#[derive(Debug)]
struct Recorder {
    permits: Semaphore,
    done: Mutex<Vec<(Locks, Vec<Wish>)>>,
    has_waited: AtomicBool,
}

impl Batch for Arc<Recorder> {
    const NAME: &'static str = "recorder";
    type Call = Wish;
    type Outcome = u32;

    fn rows(wish: &Wish) -> usize {
        if matches!(wish, Large(_)) { MOST_ROWS / 2 } else { 1 }
    }

    async fn run(&self, calls: &[Call<Wish>], locks: Locks) -> Result<Vec<Option<u32>>, Failure> {
        self.permits.acquire().await.unwrap().forget();
        let wishes: Vec<_> = calls.iter().map(|call| call.command).collect();
        assert!(!wishes.contains(&Panic));
        if wishes.contains(&Impossible) {
            return Err(Failure::unforeseen("impossible"));
        }
        if wishes.contains(&Hangs) || locks == Locks::Wait && wishes.contains(&Stuck) {
            std::future::pending().await
        }
        if locks == Locks::Skip && wishes.iter().any(|wish| matches!(wish, Blocked(_))) {
            return Err(Failure::locked("others hold it"));
        }
        if locks == Locks::Wait {
            self.has_waited.store(true, Ordering::Relaxed);
        }
        if locks == Locks::Wait && wishes.contains(&Locked) {
            return Err(Failure::locked("others hold it"));
        }
        let outcomes = wishes.iter().map(|wish| match wish {
            Done(number) | Blocked(number) | Large(number) => Some(*number),
            Held(number) => self.has_waited.load(Ordering::Relaxed).then_some(*number),
            Locked | Impossible | Panic | Hangs | Stuck => None,
        });
        let outcomes = outcomes.collect();
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push((locks, wishes));
        Ok(outcomes)
    }
}

fn batches(permits: usize) -> (Arc<Recorder>, Batches<Arc<Recorder>>) {
    let recorder = Arc::new(Recorder {
        permits: Semaphore::new(permits),
        done: Mutex::default(),
        has_waited: AtomicBool::new(false),
    });
    (recorder.clone(), Batches::new(recorder))
}

impl Recorder {
    fn done(&self) -> Vec<(Locks, Vec<Wish>)> {
        self.done.lock().unwrap().clone()
    }
}

/// Calls in a batch that gathers while another one, of a call of its own, runs.
async fn together(permits: usize, wishes: &[Wish]) -> (Arc<Recorder>, Vec<Result<u32, Failure>>) {
    let (recorder, batches) = batches(0);
    let first = batches.call(Done(0));
    let mut first = std::pin::pin!(first);
    assert!(poll!(&mut first).is_pending());
    tokio::task::yield_now().await;
    let mut calls: Vec<_> = wishes.iter().map(|wish| Box::pin(batches.call(*wish))).collect();
    for call in &mut calls {
        assert!(poll!(call).is_pending());
    }
    recorder.permits.add_permits(1);
    first.await.unwrap();
    recorder.permits.add_permits(permits);
    let outcomes = join_all(calls).await;
    assert_eq!(recorder.done.lock().unwrap().remove(0), (Locks::Skip, vec![Done(0)]));
    (recorder, outcomes)
}

#[tokio::test]
async fn a_lone_call_goes_at_once_and_those_that_come_meanwhile_go_together_in_their_order() {
    let (recorder, outcomes) = together(1, &[Done(1), Done(2), Done(3)]).await;
    assert_eq!(outcomes.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(recorder.done(), [(Locks::Skip, vec![Done(1), Done(2), Done(3)])]);
}

#[tokio::test]
async fn an_impossible_call_fails_alone() {
    let (recorder, outcomes) = together(100, &[Done(1), Done(2), Impossible, Done(4), Done(5)]).await;
    let outcomes: Vec<_> = outcomes.into_iter().map(Result::ok).collect();
    assert_eq!(outcomes, [Some(1), Some(2), None, Some(4), Some(5)]);
    let done: Vec<_> = recorder.done().into_iter().flat_map(|(_, wishes)| wishes).collect();
    assert_eq!(done, [Done(1), Done(2), Done(4), Done(5)], "each once and in order");
}

#[tokio::test]
async fn a_panic_fails_its_batch_and_the_next_one_goes_on() {
    let (recorder, outcomes) = together(2, &[Done(1), Panic]).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(Failure::Unforeseen(_)))), "{outcomes:?}");
    assert_eq!(recorder.done(), [], "nobody knows what was done, so it is not done again");
}

#[tokio::test]
async fn what_others_hold_is_waited_for_apart() {
    let (recorder, outcomes) = together(2, &[Done(1), Held(2), Done(3)]).await;
    assert_eq!(outcomes.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [1, 2, 3]);
    let expected = [(Locks::Skip, vec![Done(1), Held(2), Done(3)]), (Locks::Wait, vec![Held(2)])];
    assert_eq!(recorder.done(), expected);
}

#[tokio::test]
async fn what_is_held_for_too_long_takes_nothing_along() {
    let (_, outcomes) = together(100, &[Locked, Held(2)]).await;
    assert!(matches!(outcomes[0], Err(Failure::Locked(_))), "{outcomes:?}");
    assert!(matches!(outcomes[1], Ok(2)), "{outcomes:?}");
}

#[tokio::test]
async fn who_leaves_before_the_transaction_is_left_out() {
    let (recorder, batches) = batches(0);
    let mut first = Box::pin(batches.call(Done(0)));
    assert!(poll!(&mut first).is_pending());
    tokio::task::yield_now().await;
    let mut stays = Box::pin(batches.call(Done(1)));
    {
        let mut leaves = Box::pin(batches.call(Done(2)));
        assert!(poll!(&mut leaves).is_pending() && poll!(&mut stays).is_pending());
    }
    recorder.permits.add_permits(2);
    assert_eq!((first.await.unwrap(), stays.await.unwrap()), (0, 1));
    assert_eq!(recorder.done()[1].1, [Done(1)]);
}

#[tokio::test]
async fn a_transaction_whose_callers_have_all_left_is_given_up() {
    let (recorder, batches) = batches(0);
    {
        let mut leaves = Box::pin(batches.call(Done(1)));
        assert!(poll!(&mut leaves).is_pending());
        tokio::task::yield_now().await;
    }
    // The queue sees that nobody is there any more.
    tokio::task::yield_now().await;
    let mut next = Box::pin(batches.call(Done(2)));
    assert!(poll!(&mut next).is_pending());
    recorder.permits.add_permits(1);
    assert_eq!(next.await.unwrap(), 2);
    assert_eq!(recorder.done(), [(Locks::Skip, vec![Done(2)])]);
}

#[tokio::test]
async fn a_call_too_many_is_refused_at_once() {
    let (_, batches) = batches(0);
    let mut calls: Vec<_> = (0..QUEUE).map(|_| Box::pin(batches.call(Done(1)))).collect();
    for call in &mut calls {
        assert!(poll!(call).is_pending());
    }
    let refused = batches.call(Done(2)).await;
    assert!(matches!(refused, Err(Failure::Overloaded(_))), "{refused:?}");
}

#[tokio::test]
async fn a_call_that_makes_its_batch_wait_waits_alone() {
    let (recorder, outcomes) = together(100, &[Done(1), Blocked(2), Done(3)]).await;
    assert_eq!(outcomes.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [1, 2, 3]);
    let done = recorder.done();
    assert!(done.contains(&(Locks::Wait, vec![Blocked(2)])), "{done:?}");
    assert!(done.iter().all(|(locks, wishes)| *locks == Locks::Skip || *wishes == [Blocked(2)]), "{done:?}");
}

#[tokio::test]
async fn calls_with_many_rows_do_not_all_go_together() {
    let (recorder, outcomes) = together(100, &[Large(1), Large(2), Large(3), Done(4)]).await;
    assert_eq!(outcomes.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let expected = [(Locks::Skip, vec![Large(1), Large(2)]), (Locks::Skip, vec![Large(3), Done(4)])];
    assert_eq!(recorder.done(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_hangs_is_given_up_and_the_next_one_goes_on() {
    let (recorder, batches) = batches(100);
    let hangs = tokio::spawn({
        let batches = batches.clone();
        async move { batches.call(Hangs).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(batches.call(Done(1)).await.unwrap(), 1);
    assert!(matches!(hangs.await.unwrap(), Err(Failure::Unavailable { .. })));
    assert_eq!(recorder.done(), [(Locks::Skip, vec![Done(1)])]);
}

#[tokio::test]
async fn those_who_wait_for_others_leave_places_to_those_who_do_not() {
    let (_, batches) = batches(100_000);
    let mut stuck = tokio::task::JoinSet::new();
    // One batch is stuck, and as many wait behind it.
    for _ in 0..MOST_CALLS + HELD_QUEUE + 100 {
        let batches = batches.clone();
        stuck.spawn(async move { batches.call(Stuck).await });
    }
    for _ in 0..100 {
        let refused = stuck.join_next().await.unwrap().unwrap();
        assert!(matches!(refused, Err(Failure::Overloaded(_))), "{refused:?}");
    }
    assert_eq!(batches.call(Done(1)).await.unwrap(), 1);
}
