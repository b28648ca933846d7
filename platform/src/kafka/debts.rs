//! Dead letters that the broker did not take yet. Each holds its own partition back: nothing at or behind it is
//! committed before it is written, so it cannot be lost; and no other partition waits for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    time::{Duration, Instant},
};

use rdkafka::message::Message as _;

use super::{dead_letters::DeadLetter, metrics};

/// How long after a failure the letters are tried again.
const RETRY: Duration = Duration::from_secs(5);

/// What is owed by the partitions that are ours.
#[derive(Debug)]
pub(super) struct Debts {
    /// Which time around the partitions are ours.
    generation: u64,
    letters: Vec<DeadLetter>,
    /// By partition that owes, the offset up to which everything but the letters is done with.
    done: BTreeMap<i32, i64>,
    retry_at: Instant,
}

/// What follows for the partitions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settled {
    /// By partition, the offset up to which everything is done with.
    pub done: BTreeMap<i32, i64>,
    /// Partitions that owe and must stand still.
    pub owing: BTreeSet<i32>,
    /// Partitions that owe no longer.
    pub paid: BTreeSet<i32>,
}

impl Debts {
    pub fn new(generation: u64) -> Self {
        Self { generation, letters: Vec::new(), done: BTreeMap::new(), retry_at: Instant::now() }
    }

    /// Partitions that came or went start again at their committed offsets, before whatever they owed.
    pub fn forget_unless(&mut self, generation: u64) {
        if self.generation != generation {
            *self = Self::new(generation);
        }
    }

    /// Whether nothing is owed so far.
    pub fn are_new(&self) -> bool {
        self.done.is_empty()
    }

    /// How long until the letters are tried again; `None` when there are none.
    pub fn due_in(&self) -> Option<Duration> {
        (!self.letters.is_empty()).then(|| self.retry_at.saturating_duration_since(Instant::now()))
    }

    /// Whether letters are to be tried again now.
    pub fn are_due(&self) -> bool {
        self.due_in() == Some(Duration::ZERO)
    }

    /// Takes the letters out if they are to be tried again now.
    pub fn take_due(&mut self) -> Vec<DeadLetter> {
        if self.are_due() { mem::take(&mut self.letters) } else { Vec::new() }
    }

    /// Takes note that records up to `done` are done with, by partition, except for the letters that `failed`.
    pub fn settle(&mut self, done: BTreeMap<i32, i64>, failed: Vec<DeadLetter>) -> Settled {
        if !failed.is_empty() {
            self.retry_at = Instant::now() + RETRY;
            self.letters.extend(failed);
        }
        let mut all = mem::take(&mut self.done);
        let owed_before: BTreeSet<_> = all.keys().copied().collect();
        all.extend(done);
        let mut settled = Settled { done: all.clone(), owing: BTreeSet::new(), paid: owed_before };
        for letter in &self.letters {
            let partition = letter.record.partition();
            let first = settled.done.entry(partition).or_insert(letter.record.offset());
            *first = (*first).min(letter.record.offset());
            settled.owing.insert(partition);
            settled.paid.remove(&partition);
        }
        all.retain(|partition, _| settled.owing.contains(partition));
        self.done = all;
        metrics::DEAD_LETTERS_OWED.set(self.letters.len().try_into().unwrap_or(i64::MAX));
        settled
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::{Timestamp, message::OwnedMessage};
    use tracing::Span;

    use super::*;

    fn letter(partition: i32, offset: i64) -> DeadLetter {
        let record = OwnedMessage::new(None, None, "orders".into(), Timestamp::NotAvailable, partition, offset, None);
        DeadLetter { record, reason: "there is no payload".into(), span: Span::none() }
    }

    fn settled<const D: usize, const O: usize, const P: usize>(
        done: [(i32, i64); D],
        owing: [i32; O],
        paid: [i32; P],
    ) -> Settled {
        Settled { done: done.into(), owing: owing.into(), paid: paid.into() }
    }

    #[test]
    fn a_letter_that_is_owed_holds_back_its_own_partition_until_it_is_written() {
        let mut debts = Debts::new(1);
        assert_eq!(debts.due_in(), None);
        let first = debts.settle([(0, 10), (1, 20)].into(), vec![letter(1, 17), letter(1, 15)]);
        assert_eq!(first, settled([(0, 10), (1, 15)], [1], []));
        assert!(!debts.are_due() && debts.take_due().is_empty());

        let others_go_on = debts.settle([(0, 11)].into(), Vec::new());
        assert_eq!(others_go_on, settled([(0, 11), (1, 15)], [1], []));

        debts.retry_at = Instant::now();
        let letters = debts.take_due();
        assert_eq!(letters.len(), 2);
        let one_is_written = debts.settle(BTreeMap::new(), vec![letter(1, 17)]);
        assert_eq!(one_is_written, settled([(1, 17)], [1], []));

        debts.retry_at = Instant::now();
        assert_eq!(debts.take_due().len(), 1);
        let paid = debts.settle(BTreeMap::new(), Vec::new());
        assert_eq!(paid, settled([(1, 20)], [], [1]));
        assert!(debts.are_new());
    }

    #[test]
    fn what_is_owed_is_forgotten_when_partitions_come_or_go() {
        let mut debts = Debts::new(1);
        debts.settle([(1, 20)].into(), vec![letter(1, 15)]);
        debts.forget_unless(1);
        assert!(!debts.are_new());
        debts.forget_unless(2);
        assert!(debts.are_new());
        assert_eq!(debts.due_in(), None);
    }
}
