//! Dead letters that are not written yet. An unwritten letter holds its partition: no offset after the letter is
//! committed, so the letter cannot be lost. Other partitions go on.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    time::{Duration, Instant},
};

use rdkafka::message::Message as _;

use super::{dead_letters::DeadLetter, metrics};

const RETRY_DELAY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Backlog {
    generation: u64,
    letters: Vec<DeadLetter>,
    /// By held partition, the offset to commit when all its letters are written.
    held: BTreeMap<i32, i64>,
    retry_at: Instant,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// By partition, the offset that can be committed now.
    pub next_offsets: BTreeMap<i32, i64>,
    /// Partitions that must not be read for now.
    pub hold: BTreeSet<i32>,
    /// Partitions that were held and can be read again.
    pub release: BTreeSet<i32>,
}

impl Backlog {
    pub fn new(generation: u64) -> Self {
        Self { generation, letters: Vec::new(), held: BTreeMap::new(), retry_at: Instant::now() }
    }

    pub fn clear_after_rebalance(&mut self, generation: u64) {
        // After a rebalance, partitions are read from their committed offsets. All unwritten letters come again.
        if self.generation != generation {
            *self = Self::new(generation);
            metrics::DEAD_LETTERS_OWED.set(0);
        }
    }

    /// Whether no partition is held. False also while its letters are taken out for a retry.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The time until the next retry; `None` without letters.
    pub fn retry_in(&self) -> Option<Duration> {
        (!self.letters.is_empty()).then(|| self.retry_at.saturating_duration_since(Instant::now()))
    }

    pub fn is_retry_due(&self) -> bool {
        self.retry_in() == Some(Duration::ZERO)
    }

    pub fn take_due(&mut self) -> Vec<DeadLetter> {
        if self.is_retry_due() { mem::take(&mut self.letters) } else { Vec::new() }
    }

    /// Adds `unwritten` letters. All other records before `next_offsets` are processed.
    pub fn advance(&mut self, next_offsets: BTreeMap<i32, i64>, unwritten: Vec<DeadLetter>) -> Progress {
        if !unwritten.is_empty() {
            self.retry_at = Instant::now() + RETRY_DELAY;
            self.letters.extend(unwritten);
        }
        let mut all = mem::take(&mut self.held);
        let held_before: BTreeSet<_> = all.keys().copied().collect();
        all.extend(next_offsets);
        let mut progress = Progress { next_offsets: all.clone(), hold: BTreeSet::new(), release: held_before };
        for letter in &self.letters {
            let partition = letter.record.partition();
            let next = progress.next_offsets.entry(partition).or_insert(letter.record.offset());
            *next = (*next).min(letter.record.offset());
            progress.hold.insert(partition);
            progress.release.remove(&partition);
        }
        all.retain(|partition, _| progress.hold.contains(partition));
        self.held = all;
        metrics::DEAD_LETTERS_OWED.set(self.letters.len().try_into().unwrap_or(i64::MAX));
        progress
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

    fn progress<const N: usize, const H: usize, const R: usize>(
        next_offsets: [(i32, i64); N],
        hold: [i32; H],
        release: [i32; R],
    ) -> Progress {
        Progress { next_offsets: next_offsets.into(), hold: hold.into(), release: release.into() }
    }

    #[test]
    fn a_letter_that_is_owed_holds_back_its_own_partition_until_it_is_written() {
        let mut backlog = Backlog::new(1);
        assert_eq!(backlog.retry_in(), None);
        let first = backlog.advance([(0, 10), (1, 20)].into(), vec![letter(1, 17), letter(1, 15)]);
        assert_eq!(first, progress([(0, 10), (1, 15)], [1], []));
        assert!(!backlog.is_retry_due() && backlog.take_due().is_empty());

        let others_go_on = backlog.advance([(0, 11)].into(), Vec::new());
        assert_eq!(others_go_on, progress([(0, 11), (1, 15)], [1], []));

        backlog.retry_at = Instant::now();
        let letters = backlog.take_due();
        assert_eq!(letters.len(), 2);
        let one_is_written = backlog.advance(BTreeMap::new(), vec![letter(1, 17)]);
        assert_eq!(one_is_written, progress([(1, 17)], [1], []));

        backlog.retry_at = Instant::now();
        assert_eq!(backlog.take_due().len(), 1);
        let all_are_written = backlog.advance(BTreeMap::new(), Vec::new());
        assert_eq!(all_are_written, progress([(1, 20)], [], [1]));
        assert!(backlog.is_empty());
    }

    #[test]
    fn what_is_owed_is_forgotten_when_partitions_come_or_go() {
        let mut backlog = Backlog::new(1);
        backlog.advance([(1, 20)].into(), vec![letter(1, 15)]);
        backlog.clear_after_rebalance(1);
        assert!(!backlog.is_empty());
        backlog.clear_after_rebalance(2);
        assert!(backlog.is_empty());
        assert_eq!(backlog.retry_in(), None);
    }
}
