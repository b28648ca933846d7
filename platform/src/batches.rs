//! Calls that share a transaction. While one transaction runs, the calls that come gather; the next transaction takes all
//! of them. There is no timer: a lone call goes at once.
//!
//! A batch hardly waits for a lock, because all of its calls would wait. Calls that need what others hold are handed on to
//! a second queue, whose batches wait.

use std::{
    collections::VecDeque,
    future::Future,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt as _, future::join_all};
use tokio::sync::{mpsc, oneshot};
use tracing::{Instrument as _, Span, field::Empty, info_span};

use crate::{
    failure::{Failure, panic_text},
    metrics::batches as metrics,
    postgres::Locks,
    telemetry::trace,
};

/// More calls in a transaction gain nothing, and a transaction that is too long makes everybody wait.
const MOST_CALLS: usize = 256;
/// More rows in a transaction make everybody wait, too. A call that has more goes alone.
const MOST_ROWS: usize = 16_384;
/// After this, a transaction is given up: its connection hangs, and so would all calls that come.
const LONGEST: Duration = Duration::from_secs(5);
/// What was held after the longest wait is tried again a few times, because much is held for a moment only.
const LAST_TRIES: usize = 3;
const LAST_PAUSE: Duration = Duration::from_millis(30);
/// Calls beyond that are refused. More than a service takes at once, unless it is configured to take very many.
const QUEUE: usize = 4096;
/// Of calls that need what others hold, more are refused: they leave places to those that do not, half of what a service
/// takes at once unless it is configured otherwise.
const HELD_QUEUE: usize = 256;

/// What calls do that share a transaction.
pub trait Batch: Send + Sync + 'static {
    /// The name in metrics and traces.
    const NAME: &'static str;
    type Call: Send + Sync + 'static;
    type Outcome: Send + 'static;

    /// How many rows a call writes, more or less.
    fn rows(_: &Self::Call) -> usize {
        1
    }

    /// Does all calls in one transaction, as if one by one in some order. Returns the outcome of each; `None` for a call
    /// that others hold something of, so that nothing is done for it.
    ///
    /// After an unforeseen failure, or a wait for a lock that was to be skipped, nothing is done. Then the calls are run
    /// again in two halves, until the one that cannot be done is alone.
    fn run(
        &self,
        calls: &[Call<Self::Call>],
        locks: Locks,
    ) -> impl Future<Output = Result<Vec<Option<Self::Outcome>>, Failure>> + Send;
}

/// What a caller wants, and the caller's span.
#[derive(Debug)]
pub struct Call<C> {
    pub command: C,
    pub span: Span,
}

/// Where calls wait for their transaction.
#[derive(Debug)]
pub struct Batches<B: Batch>(mpsc::Sender<Waiting<B>>);

/// Clones share the queue.
impl<B: Batch> Clone for Batches<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Waiting<B: Batch> {
    call: Call<B::Call>,
    answer: Answer<B>,
    since: Instant,
}

type Answer<B> = oneshot::Sender<Result<<B as Batch>::Outcome, Failure>>;

/// A call, and where its outcome goes.
type Taken<B> = (Call<<B as Batch>::Call>, Answer<B>);

impl<B: Batch> Batches<B> {
    /// Must be called inside a Tokio runtime.
    pub fn new(batch: B) -> Self {
        metrics::declare_for(B::NAME);
        let batch = Arc::new(batch);
        let (patient, held) = mpsc::channel(HELD_QUEUE);
        let (queue, calls) = mpsc::channel(QUEUE);
        tokio::spawn(serve(batch.clone(), calls, Some(Self(patient))));
        tokio::spawn(serve(batch, held, None));
        Self(queue)
    }

    /// Does something in a transaction with other calls. If the caller leaves before the transaction begins, nothing is
    /// done. A failure may leave in doubt whether it is done, like that of any transaction.
    pub async fn call(&self, command: B::Call) -> Result<B::Outcome, Failure> {
        let (answer, answered) = oneshot::channel();
        self.push(Call { command, span: Span::current() }, answer);
        // Every call is answered, unless the runtime ends.
        answered.await.unwrap_or_else(|_| Err(Failure::unforeseen("the service ends")))
    }

    /// Refuses the call if too many wait.
    fn push(&self, call: Call<B::Call>, answer: Answer<B>) {
        metrics::WAITING.with_label_values(&[B::NAME]).inc();
        if let Err(refused) = self.0.try_send(Waiting { call, answer, since: Instant::now() }) {
            metrics::WAITING.with_label_values(&[B::NAME]).dec();
            let failure = Failure::overloaded("too many calls wait for a transaction");
            send::<B>(refused.into_inner().answer, Err(failure));
        }
    }
}

/// `patient` takes the calls that must wait for others. Without it, the batches wait themselves.
async fn serve<B: Batch>(batch: Arc<B>, mut calls: mpsc::Receiver<Waiting<B>>, patient: Option<Batches<B>>) {
    let mut waiting = VecDeque::new();
    while gather(&mut calls, &mut waiting).await {
        let taken = take(&mut waiting);
        if let Some(patient) = &patient {
            for ((call, answer), _) in run(&*batch, taken, Locks::Skip).await {
                patient.push(call, answer);
            }
        } else {
            let held = run(&*batch, taken, Locks::Wait).await;
            // After the longest wait, those are done that need nothing which is still held.
            let mut again: Vec<_> = held.into_iter().map(|(taken, _)| taken).collect();
            for last in 1..=LAST_TRIES {
                let held = run(&*batch, std::mem::take(&mut again), Locks::Skip).await;
                for ((call, answer), failure) in held {
                    if last == LAST_TRIES {
                        send::<B>(answer, Err(failure));
                    } else {
                        again.push((call, answer));
                    }
                }
                if again.is_empty() {
                    break;
                }
                tokio::time::sleep(LAST_PAUSE).await;
            }
        }
    }
}

/// Waits until there are calls. Returns false when there will be none any more.
async fn gather<B: Batch>(calls: &mut mpsc::Receiver<Waiting<B>>, waiting: &mut VecDeque<Waiting<B>>) -> bool {
    if waiting.is_empty() {
        waiting.extend(calls.recv().await);
    }
    while waiting.len() < MOST_CALLS
        && let Ok(call) = calls.try_recv()
    {
        waiting.push_back(call);
    }
    !waiting.is_empty()
}

/// Takes the calls that go together.
fn take<B: Batch>(waiting: &mut VecDeque<Waiting<B>>) -> Vec<Taken<B>> {
    let (seconds, mut taken, mut rows) = (metrics::WAIT_SECONDS.with_label_values(&[B::NAME]), Vec::new(), 0);
    while let Some(Waiting { call, .. }) = waiting.front()
        && taken.len() < MOST_CALLS
    {
        rows += B::rows(&call.command);
        if rows > MOST_ROWS && !taken.is_empty() {
            break;
        }
        let Some(Waiting { call, answer, since }) = waiting.pop_front() else { break };
        seconds.observe(since.elapsed().as_secs_f64());
        taken.push((call, answer));
    }
    metrics::WAITING.with_label_values(&[B::NAME]).sub(taken.len().try_into().unwrap_or(i64::MAX));
    taken
}

/// Runs calls in one transaction, or in several if one of them makes it fail. Returns those that others hold something
/// of, each with the failure that says so.
async fn run<B: Batch>(batch: &B, taken: Vec<Taken<B>>, locks: Locks) -> Vec<(Taken<B>, Failure)> {
    let (mut batches, mut held) = (vec![taken], Vec::new());
    while let Some(taken) = batches.pop() {
        let present = taken.into_iter().filter(|(_, answer)| !answer.is_closed());
        let (mut calls, mut answers): (Vec<_>, Vec<_>) = present.unzip();
        if calls.is_empty() {
            continue;
        }
        match run_once(batch, &calls, &mut answers, locks).await {
            Ok(outcomes) => {
                for ((call, answer), outcome) in std::iter::zip(calls, answers).zip(outcomes) {
                    match outcome {
                        Some(outcome) => send::<B>(answer, Ok(outcome)),
                        None => held.push(((call, answer), Failure::locked("others hold what the call needs"))),
                    }
                }
            }
            Err(Undone::Failed(failure @ Failure::Locked(_))) if locks == Locks::Wait || calls.len() == 1 => {
                held.extend(std::iter::zip(calls, answers).map(|taken| (taken, failure.clone())));
            }
            Err(Undone::Failed(Failure::Unforeseen(_) | Failure::Locked(_))) if calls.len() > 1 => {
                let half = calls.len() / 2;
                let second = std::iter::zip(calls.split_off(half), answers.split_off(half)).collect();
                // `pop` takes the last one first, so that the calls keep their order.
                batches.extend([second, std::iter::zip(calls, answers).collect()]);
            }
            Err(Undone::Failed(failure) | Undone::Panicked(failure)) => {
                answers.into_iter().for_each(|answer| send::<B>(answer, Err(failure.clone())));
            }
            Err(Undone::Left) => {}
        }
    }
    held
}

/// Why a transaction has no outcomes.
enum Undone {
    Failed(Failure),
    /// Nobody knows whether it was committed, so that it must not run again.
    Panicked(Failure),
    /// All callers left.
    Left,
}

async fn run_once<B: Batch>(
    batch: &B,
    calls: &[Call<B::Call>],
    answers: &mut [Answer<B>],
    locks: Locks,
) -> Result<Vec<Option<B::Outcome>>, Undone> {
    let span = span(B::NAME, calls);
    #[allow(clippy::cast_precision_loss, reason = "a batch has few calls")]
    metrics::CALLS.with_label_values(&[B::NAME]).observe(calls.len() as f64);
    let run = tokio::time::timeout(LONGEST, AssertUnwindSafe(batch.run(calls, locks)).catch_unwind());
    let run = run.instrument(span.clone());
    let all_left = join_all(answers.iter_mut().map(oneshot::Sender::closed));
    let result = tokio::select! {
        result = run => result,
        _ = all_left => return Err(Undone::Left),
    };
    let undone = match result {
        Ok(Ok(Ok(outcomes))) => return Ok(outcomes),
        Ok(Ok(Err(failure))) => Undone::Failed(failure),
        Err(slow) => Undone::Failed(Failure::unavailable("Postgres", slow)),
        Ok(Err(panic)) => Undone::Panicked(Failure::unforeseen(format!("a batch panicked: {}", panic_text(&*panic)))),
    };
    if let Undone::Failed(failure) | Undone::Panicked(failure) = &undone {
        trace::fail(&span, failure.kind());
    }
    Err(undone)
}

fn send<B: Batch>(answer: Answer<B>, outcome: Result<B::Outcome, Failure>) {
    // The caller may have left.
    let _ = answer.send(outcome);
}

/// A batch belongs to the trace of its first caller whose trace is kept. The spans of the other callers are linked to it.
fn span<C>(name: &str, calls: &[Call<C>]) -> Span {
    let first = calls.iter().position(|call| trace::is_sampled(&call.span)).unwrap_or_default();
    let span = info_span!(
        parent: calls.get(first).and_then(|call| call.span.id()),
        "batch",
        otel.name = format!("batch {name}"),
        otel.status_code = Empty,
        "error.type" = Empty,
        batch.calls = calls.len(),
    );
    for (position, call) in calls.iter().enumerate() {
        if position != first {
            trace::link_to_span(&call.span, &span);
        }
    }
    span
}

#[cfg(test)]
mod tests;
