//! The log of a partition: batches of records, appended as the producers sent them, in files of which the oldest go when
//! they are old, or too many. What was appended outlives the process, though not the machine: the system writes it to the
//! disk when it likes.

mod batch;
mod records;
#[cfg(test)]
pub(super) mod samples;
mod segment;
mod sequences;

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
};

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError::{self, OffsetOutOfRange};
use tracing::warn;

use super::{files, topics::Settings};
pub(super) use batch::Batch;
use batch::Header;
use segment::Segment;
use sequences::Sequences;

const EXTENSION: &str = "log";

#[derive(Debug)]
pub(super) struct Log {
    /// What the names of its files begin with.
    stem: PathBuf,
    /// The epoch of its leader, which is that of its topic.
    epoch: i32,
    /// The segments to which nothing is appended any more, the oldest first.
    full: VecDeque<Segment>,
    /// The segment to which batches are appended.
    active: Segment,
    sequences: Sequences,
}

/// The partition to which a file of a topic belongs, and the offset with which it begins. `None` for another file.
pub(super) fn parse(name: &str) -> Option<(u32, i64)> {
    let stem = name.strip_suffix(EXTENSION)?.strip_suffix('.')?;
    match stem.split_once('-') {
        Some((partition, base)) => Some((partition.parse().ok()?, base.parse().ok()?)),
        None => Some((stem.parse().ok()?, 0)),
    }
}

/// The first segment of a log has no offset in its name.
fn path(stem: &Path, base: i64) -> PathBuf {
    let mut path = stem.as_os_str().to_owned();
    if base > 0 {
        path.push(format!("-{base}"));
    }
    PathBuf::from(path).with_extension(EXTENSION)
}

impl Log {
    /// Opens a log of which there are segments that begin with these offsets. What was not written to its end is cut off.
    pub fn open(topic: &Path, partition: u32, epoch: i32, mut bases: Vec<i64>) -> io::Result<Self> {
        bases.sort_unstable();
        let stem = topic.join(partition.to_string());
        let (mut full, mut sequences) = (VecDeque::new(), Sequences::default());
        for base in bases {
            let path = path(&stem, base);
            let note = |header: &Header| sequences.note(header, header.offset);
            full.push_back(Segment::open(path.clone(), base, note).map_err(|error| files::fault(&path, error))?);
        }
        let active = full.pop_back().unwrap_or_else(|| Segment::new(path(&stem, 0), 0));
        Ok(Self { stem, epoch, full, active, sequences })
    }

    /// The offset of the oldest record.
    pub fn first_offset(&self) -> i64 {
        self.segments().next().map_or(0, |segment| segment.base)
    }

    /// The offset that the next record gets.
    pub fn next_offset(&self) -> i64 {
        self.active.next
    }

    fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.full.iter().chain([&self.active])
    }

    /// Appends the batch that a producer sent. Returns the offset of its first record; a batch that is there already keeps
    /// its offset.
    pub fn append(&mut self, batch: &Batch, settings: &Settings) -> Result<i64, ResponseError> {
        let Batch { header, bytes } = batch;
        if let Some(offset) = self.sequences.appended_before(header)? {
            return Ok(offset);
        }
        let offset = self.next_offset();
        let mut batch = BytesMut::from(*bytes);
        // Neither is part of the checksum.
        batch[..8].copy_from_slice(&offset.to_be_bytes());
        batch[12..16].copy_from_slice(&self.epoch.to_be_bytes());
        if self.active.length > 0 && self.active.length + batch.len() as u64 > settings.segment_bytes {
            self.roll();
        }
        self.active.append(header, &batch).map_err(files::refusal(self.active.path()))?;
        self.sequences.note(header, offset);
        Ok(offset)
    }

    fn roll(&mut self) {
        let next = Segment::new(path(&self.stem, self.next_offset()), self.next_offset());
        self.full.push_back(std::mem::replace(&mut self.active, next));
    }

    /// The segment of a record. None at the end of the log.
    fn segment_of(&self, offset: i64) -> Result<Option<&Segment>, ResponseError> {
        if !(self.first_offset()..=self.next_offset()).contains(&offset) {
            return Err(OffsetOutOfRange);
        }
        Ok(self.segments().find(|segment| offset < segment.next))
    }

    /// How many bytes there are from the batch of a record on.
    pub fn size_from(&self, offset: i64) -> Result<u64, ResponseError> {
        let Some(segment) = self.segment_of(offset)? else { return Ok(0) };
        let later = self.segments().filter(|later| later.base > segment.base).map(|later| later.length);
        Ok(segment.size_from(offset) + later.sum::<u64>())
    }

    /// Batches from that of a record on: as many as `most` bytes hold, or one more if `one_at_least`. None at the end of the
    /// log.
    pub fn read(&self, offset: i64, most: usize, one_at_least: bool) -> Result<Bytes, ResponseError> {
        let Some(segment) = self.segment_of(offset)? else { return Ok(Bytes::new()) };
        segment.read(offset, most, one_at_least).map_err(files::refusal(segment.path()))
    }

    /// The first record that is not older, by its offset and its time.
    pub fn find(&self, time: i64) -> Result<Option<(i64, i64)>, ResponseError> {
        for segment in self.segments().filter(|segment| segment.latest >= time) {
            if let Some(found) = segment.find(time).map_err(files::refusal(segment.path()))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first of the latest records, by its offset and its time.
    pub fn find_latest(&self) -> Result<Option<(i64, i64)>, ResponseError> {
        let latest = self.segments().map(|segment| segment.latest).max();
        latest.map_or(Ok(None), |latest| self.find(latest))
    }

    /// Forgets what is old by the topic's settings, and producers that are silent. What is not old stays, also where it is
    /// too much, as long as somebody has read no further than `unread`.
    pub fn tidy(&mut self, now: i64, settings: &Settings, unread: Option<i64>) {
        self.sequences.forget_the_silent();
        if let Err(error) = self.forget_the_old(now, settings, unread) {
            warn!(file = %self.stem.display(), %error, "cannot forget what is old");
        }
    }

    fn forget_the_old(&mut self, now: i64, settings: &Settings, unread: Option<i64>) -> io::Result<()> {
        if self.active.length > 0 && settings.is_old(now, self.active.made_at()?) {
            self.roll();
        }
        if self.active.length == 0 && !self.full.is_empty() {
            self.active.begin()?;
        }
        let mut length: u64 = self.segments().map(|segment| segment.length).sum();
        while let Some(oldest) = self.full.front() {
            let is_read = unread.is_none_or(|offset| oldest.next <= offset);
            let is_too_much = settings.is_too_much(length - oldest.length) && is_read;
            if !is_too_much && !settings.is_old(now, oldest.made_at()?) {
                break;
            }
            oldest.remove()?;
            length -= oldest.length;
            self.full.pop_front();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
