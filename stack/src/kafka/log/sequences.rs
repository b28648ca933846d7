//! The batches that producers number, so that one which is sent again is not there twice.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use kafka_protocol::ResponseError::{self, InvalidProducerEpoch, OutOfOrderSequenceNumber};

use super::batch::Header;

/// Batches of a producer that it may send again, because it did not hear of them. It has at most five on their way.
const REMEMBERED: usize = 5;
/// A producer that sends nothing for so long is forgotten, as Kafka does.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Producers, by id.
#[derive(Debug, Default)]
pub(super) struct Sequences(HashMap<i64, Producer>);

#[derive(Debug)]
struct Producer {
    epoch: i16,
    heard_at: Instant,
    /// The latest batches.
    batches: VecDeque<Numbered>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Numbered {
    first: i32,
    last: i32,
    offset: i64,
}

impl Sequences {
    /// The offset of a batch that its producer sends again.
    pub fn appended_before(&self, header: &Header) -> Result<Option<i64>, ResponseError> {
        let Some(producer) = self.0.get(&header.producer).filter(|_| header.producer >= 0) else { return Ok(None) };
        if header.epoch < producer.epoch {
            return Err(InvalidProducerEpoch);
        }
        if header.epoch > producer.epoch {
            return if header.sequence == 0 { Ok(None) } else { Err(OutOfOrderSequenceNumber) };
        }
        let is_same = |batch: &&Numbered| batch.first == header.sequence && batch.last == last(header);
        if let Some(batch) = producer.batches.iter().find(is_same) {
            return Ok(Some(batch.offset));
        }
        match producer.batches.back() {
            Some(latest) if header.sequence != after(latest.last, 1) => Err(OutOfOrderSequenceNumber),
            Some(_) | None => Ok(None),
        }
    }

    /// Notes a batch that is in the log.
    pub fn note(&mut self, header: &Header, offset: i64) {
        if header.producer < 0 {
            return;
        }
        let known = self.0.remove(&header.producer).filter(|known| known.epoch == header.epoch);
        let mut batches = known.map(|known| known.batches).unwrap_or_default();
        batches.push_back(Numbered { first: header.sequence, last: last(header), offset });
        if batches.len() > REMEMBERED {
            batches.pop_front();
        }
        self.0.insert(header.producer, Producer { epoch: header.epoch, heard_at: Instant::now(), batches });
    }

    pub fn forget_the_silent(&mut self) {
        self.0.retain(|_, producer| producer.heard_at.elapsed() < FORGOTTEN_AFTER);
    }
}

fn last(header: &Header) -> i32 {
    after(header.sequence, header.last)
}

/// Numbers begin again at 0 after the largest.
fn after(sequence: i32, count: i32) -> i32 {
    let after = i64::from(sequence) + i64::from(count);
    i32::try_from(after % (i64::from(i32::MAX) + 1)).unwrap_or_default()
}
