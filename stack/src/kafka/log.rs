//! The log of a partition: one file, to which batches of records are appended as the producers sent them. What was
//! appended outlives the process, though not the machine: the system writes it to the disk when it likes.
//!
//! A batch's fields are those of <https://kafka.apache.org/documentation/#recordbatch>.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
};

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;

/// The length of a batch counts from here.
const LENGTH_FROM: usize = 12;
/// A batch without records.
const HEADER: usize = 61;
/// The only format of records since Kafka 0.11.
const MAGIC: u8 = 2;
/// Batches of a producer that it may send again, because it did not hear of them. A producer has at most five on their way.
const REMEMBERED: usize = 5;

#[derive(Debug)]
pub(super) struct Log {
    file: File,
    /// Where the next batch begins in the file.
    length: u64,
    next_offset: i64,
    /// By the offset of their first record.
    batches: BTreeMap<i64, Place>,
    /// Those that number their batches, by id.
    producers: HashMap<i64, Producer>,
}

/// Where a batch is.
#[derive(Debug, Clone, Copy)]
struct Place {
    position: u64,
    length: u64,
    /// Of its records, in milliseconds since 1970.
    latest: i64,
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    /// The latest batches.
    batches: VecDeque<Numbered>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Numbered {
    first: i32,
    last: i32,
    offset: i64,
}

/// What the header of a batch says.
#[derive(Debug, Clone, Copy)]
struct Header {
    /// Of the whole batch, in bytes.
    length: usize,
    magic: u8,
    /// The offset of the last record, from that of the first.
    last: i32,
    latest: i64,
    producer: i64,
    epoch: i16,
    sequence: i32,
}

impl Header {
    /// `None` if there are too few bytes for a header.
    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            length: usize::try_from(i32::from_be_bytes(field(bytes, 8)?)).ok()?.checked_add(LENGTH_FROM)?,
            magic: *bytes.get(16)?,
            last: i32::from_be_bytes(field(bytes, 23)?),
            latest: i64::from_be_bytes(field(bytes, 35)?),
            producer: i64::from_be_bytes(field(bytes, 43)?),
            epoch: i16::from_be_bytes(field(bytes, 51)?),
            sequence: i32::from_be_bytes(field(bytes, 53)?),
        })
        .filter(|header| bytes.len() >= HEADER && header.length >= HEADER && header.last >= 0)
    }

    fn last_sequence(&self) -> i32 {
        sequence_after(self.sequence, self.last)
    }
}

fn field<const N: usize>(bytes: &[u8], from: usize) -> Option<[u8; N]> {
    bytes.get(from..from + N)?.try_into().ok()
}

/// Numbers begin again at 0 after the largest.
fn sequence_after(sequence: i32, count: i32) -> i32 {
    let after = i64::from(sequence) + i64::from(count);
    i32::try_from(after % (i64::from(i32::MAX) + 1)).unwrap_or_default()
}

impl Log {
    /// Opens a log, or begins one. What was not written to its end is cut off.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let written = file.metadata()?.len();
        let mut log = Self { file, length: 0, next_offset: 0, batches: BTreeMap::new(), producers: HashMap::new() };
        let mut bytes = [0; HEADER];
        while log.length + HEADER as u64 <= written {
            log.file.read_exact_at(&mut bytes, log.length)?;
            let Some(header) = Header::read(&bytes).filter(|header| log.length + header.length as u64 <= written)
            else {
                break;
            };
            log.know(&header);
        }
        log.file.set_len(log.length)?;
        Ok(log)
    }

    /// The offset that the next record gets.
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Appends what a producer sent, of which no batch may be larger than `most` bytes. Returns the offset of the first
    /// record; a batch that is there already keeps its offset.
    pub fn append(&mut self, records: &Bytes, most: usize) -> Result<i64, ResponseError> {
        let (mut rest, mut first) = (records.clone(), None);
        while !rest.is_empty() {
            let header = Header::read(&rest).ok_or(ResponseError::CorruptMessage)?;
            if header.magic != MAGIC {
                return Err(ResponseError::UnsupportedForMessageFormat);
            }
            if header.length > rest.len() {
                return Err(ResponseError::CorruptMessage);
            }
            if header.length > most {
                return Err(ResponseError::MessageTooLarge);
            }
            let batch = rest.split_to(header.length);
            let offset = match self.appended_before(&header)? {
                Some(offset) => offset,
                None => self.append_one(&header, &batch)?,
            };
            first.get_or_insert(offset);
        }
        first.ok_or(ResponseError::InvalidRecord)
    }

    /// The offset of a batch that its producer sends again.
    fn appended_before(&self, header: &Header) -> Result<Option<i64>, ResponseError> {
        let Some(producer) = self.producers.get(&header.producer).filter(|_| header.producer >= 0) else {
            return Ok(None);
        };
        if header.epoch < producer.epoch {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        if header.epoch > producer.epoch {
            return if header.sequence == 0 { Ok(None) } else { Err(ResponseError::OutOfOrderSequenceNumber) };
        }
        let is_same = |batch: &&Numbered| batch.first == header.sequence && batch.last == header.last_sequence();
        if let Some(batch) = producer.batches.iter().find(is_same) {
            return Ok(Some(batch.offset));
        }
        match producer.batches.back() {
            Some(last) if header.sequence != sequence_after(last.last, 1) => {
                Err(ResponseError::OutOfOrderSequenceNumber)
            }
            Some(_) | None => Ok(None),
        }
    }

    fn append_one(&mut self, header: &Header, batch: &Bytes) -> Result<i64, ResponseError> {
        let mut batch = BytesMut::from(&batch[..]);
        // Neither is part of the checksum. The leader is always the first.
        batch[..8].copy_from_slice(&self.next_offset.to_be_bytes());
        batch[12..16].fill(0);
        self.file.write_all_at(&batch, self.length).map_err(|_| ResponseError::KafkaStorageError)?;
        Ok(self.know(header))
    }

    /// Notes a batch that is in the file. Returns its offset.
    fn know(&mut self, header: &Header) -> i64 {
        let (offset, length) = (self.next_offset, header.length as u64);
        self.batches.insert(offset, Place { position: self.length, length, latest: header.latest });
        self.length += length;
        self.next_offset += i64::from(header.last) + 1;
        if header.producer >= 0 {
            let new = || Producer { epoch: header.epoch, batches: VecDeque::new() };
            let producer = self.producers.entry(header.producer).or_insert_with(new);
            if producer.epoch != header.epoch {
                *producer = new();
            }
            producer.batches.push_back(Numbered { first: header.sequence, last: header.last_sequence(), offset });
            if producer.batches.len() > REMEMBERED {
                producer.batches.pop_front();
            }
        }
        offset
    }

    /// The batches from that of a record on: as many as `most` bytes hold, but at least one. None at the end of the log.
    pub fn read(&self, offset: i64, most: usize) -> Result<Bytes, ResponseError> {
        if !(0..=self.next_offset).contains(&offset) {
            return Err(ResponseError::OffsetOutOfRange);
        }
        let Some((first, place)) = self.batches.range(..=offset).next_back() else { return Ok(Bytes::new()) };
        if offset == self.next_offset {
            return Ok(Bytes::new());
        }
        let (begin, mut end) = (place.position, place.position + place.length);
        for (_, place) in self.batches.range(first + 1..) {
            if place.position + place.length - begin > most as u64 {
                break;
            }
            end = place.position + place.length;
        }
        let mut bytes = vec![0; usize::try_from(end - begin).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut bytes, begin).map_err(|_| ResponseError::KafkaStorageError)?;
        Ok(bytes.into())
    }

    /// The first batch with a record that is not older, by its offset, with the time of its latest record.
    pub fn find(&self, time: i64) -> Option<(i64, i64)> {
        let (offset, place) = self.batches.iter().find(|(_, place)| place.latest >= time)?;
        Some((*offset, place.latest))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const MOST: usize = 1024;

    /// A batch of so many records, which are missing.
    fn batch(records: i32, producer: i64, epoch: i16, sequence: i32) -> Bytes {
        let mut bytes = vec![0; HEADER + 10];
        let length = i32::try_from(bytes.len() - LENGTH_FROM).unwrap();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[16] = MAGIC;
        bytes[23..27].copy_from_slice(&(records - 1).to_be_bytes());
        bytes[35..43].copy_from_slice(&i64::from(sequence).to_be_bytes());
        bytes[43..51].copy_from_slice(&producer.to_be_bytes());
        bytes[51..53].copy_from_slice(&epoch.to_be_bytes());
        bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
        bytes.into()
    }

    fn log() -> (tempfile::TempDir, Log) {
        let directory = tempfile::tempdir().unwrap();
        let log = Log::open(&directory.path().join("log")).unwrap();
        (directory, log)
    }

    fn offset_of(batches: &Bytes) -> i64 {
        i64::from_be_bytes(batches[..8].try_into().unwrap())
    }

    #[test]
    fn a_record_in_the_middle_of_a_batch_is_read_with_its_batch_and_those_that_follow() {
        let (_directory, mut log) = log();
        assert_eq!(log.read(0, MOST).unwrap(), Bytes::new());
        assert_eq!(log.append(&batch(10, -1, -1, -1), MOST), Ok(0));
        assert_eq!(log.append(&batch(5, -1, -1, -1), MOST), Ok(10));
        let read = log.read(7, MOST).unwrap();
        assert_eq!((read.len(), offset_of(&read)), (2 * (HEADER + 10), 0));
        let read = log.read(12, MOST).unwrap();
        assert_eq!((read.len(), offset_of(&read)), (HEADER + 10, 10));
        assert_eq!(log.read(0, 1).unwrap().len(), HEADER + 10, "at least one");
        assert_eq!(log.read(15, MOST).unwrap(), Bytes::new());
        assert_eq!(log.read(16, MOST), Err(ResponseError::OffsetOutOfRange));
    }

    #[test]
    fn a_log_that_is_opened_again_has_all_that_was_written_whole() {
        let (directory, mut log) = log();
        log.append(&batch(3, 7, 0, 0), MOST).unwrap();
        log.append(&batch(2, 7, 0, 3), MOST).unwrap();
        let end = log.length;
        log.file.write_all_at(&batch(4, 7, 0, 5)[..HEADER + 3], end).unwrap();
        let mut log = Log::open(&directory.path().join("log")).unwrap();
        assert_eq!((log.next_offset(), log.length), (5, end));
        assert_eq!(log.append(&batch(2, 7, 0, 3), MOST), Ok(3), "it knows what the producer sent");
        assert_eq!(log.append(&batch(1, 7, 0, 5), MOST), Ok(5));
    }

    #[test]
    fn what_a_producer_sends_again_is_not_appended_again() {
        let (_directory, mut log) = log();
        assert_eq!(log.append(&batch(2, 7, 0, 4), MOST), Ok(0), "a log that begins anew takes any number");
        assert_eq!(log.append(&batch(1, 7, 0, 6), MOST), Ok(2));
        assert_eq!(log.append(&batch(2, 7, 0, 4), MOST), Ok(0));
        assert_eq!(log.append(&batch(1, 7, 0, 8), MOST), Err(ResponseError::OutOfOrderSequenceNumber));
        assert_eq!(log.append(&batch(1, 7, 1, 0), MOST), Ok(3));
        assert_eq!(log.append(&batch(1, 7, 0, 7), MOST), Err(ResponseError::InvalidProducerEpoch));
        assert_eq!(log.append(&batch(1, 8, 0, i32::MAX), MOST), Ok(4));
        assert_eq!(log.append(&batch(1, 8, 0, 0), MOST), Ok(5), "numbers begin again");
        assert_eq!(log.next_offset(), 6);
    }

    #[test]
    fn what_is_no_batch_or_too_large_is_refused() {
        let (_directory, mut log) = log();
        assert_eq!(log.append(&Bytes::from_static(b"no batch"), MOST), Err(ResponseError::CorruptMessage));
        assert_eq!(log.append(&batch(1, -1, -1, -1).slice(..65), MOST), Err(ResponseError::CorruptMessage));
        assert_eq!(log.append(&batch(1, -1, -1, -1), 70), Err(ResponseError::MessageTooLarge));
        assert_eq!(log.append(&Bytes::new(), MOST), Err(ResponseError::InvalidRecord));
        assert_eq!(log.next_offset(), 0);
    }
}
