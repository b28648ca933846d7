//! A piece of a log: one file of batches, one after the other. It is opened for each use, so that no number of partitions
//! takes all the files that a process may open.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use bytes::Bytes;

use super::batch::{self, HEADER, Header};
use crate::kafka::files;

/// What is read at once when a segment is looked through.
const READ: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    /// The offset of its first record.
    pub base: i64,
    /// The offset that the next record gets.
    pub next: i64,
    /// In bytes.
    pub length: u64,
    batches: Vec<Place>,
    /// The time of its latest record.
    pub latest: i64,
}

/// Where a batch begins.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: i64,
    position: u64,
    /// The time of its latest record, in milliseconds since 1970.
    latest: i64,
}

impl Segment {
    /// A segment that is a file as soon as something is appended.
    pub fn new(path: PathBuf, base: i64) -> Self {
        Self { path, base, next: base, length: 0, batches: Vec::new(), latest: i64::MIN }
    }

    /// Opens a segment and tells of its batches. What is no whole batch, and all that follows it, is cut off.
    pub fn open(path: PathBuf, base: i64, mut tell: impl FnMut(&Header)) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(&path)?;
        let written = file.metadata()?.len();
        let mut segment = Self::new(path, base);
        let (mut source, mut batch) = (BufReader::with_capacity(READ, &file), vec![0; HEADER]);
        while segment.length + HEADER as u64 <= written {
            batch.resize(HEADER, 0);
            source.read_exact(&mut batch)?;
            let Some(header) = Header::read(&batch)
                .filter(|header| header.offset == segment.next && segment.length + header.length as u64 <= written)
            else {
                break;
            };
            batch.resize(header.length, 0);
            source.read_exact(&mut batch[HEADER..])?;
            if !header.is_intact(&batch) {
                break;
            }
            segment.know(&header);
            tell(&header);
        }
        files::cut(&segment.path, &file, segment.length)?;
        Ok(segment)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a batch that begins with the next offset.
    pub fn append(&mut self, header: &Header, batch: &[u8]) -> io::Result<()> {
        let is_new = self.length == 0;
        let file = File::options().read(true).write(true).create(is_new).truncate(false).open(&self.path)?;
        files::append(&file, self.length, batch)?;
        self.know(header);
        Ok(())
    }

    /// Begins the file, so that its name tells the next offset when the records before it go.
    pub fn begin(&self) -> io::Result<()> {
        File::create(&self.path).map(drop)
    }

    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn know(&mut self, header: &Header) {
        self.batches.push(Place { offset: self.next, position: self.length, latest: header.latest });
        self.length += header.length as u64;
        self.next += i64::from(header.last) + 1;
        self.latest = self.latest.max(header.latest);
    }

    /// When its latest record was made, in milliseconds since 1970. Records without a time have that of the file.
    pub fn made_at(&self) -> io::Result<i64> {
        if self.latest >= 0 {
            return Ok(self.latest);
        }
        let since = fs::metadata(&self.path)?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// How many bytes there are from the batch of a record on.
    pub fn size_from(&self, offset: i64) -> u64 {
        self.batches.get(self.batch_of(offset)).map_or(0, |place| self.length - place.position)
    }

    /// The batches from that of a record on: as many as `most` bytes hold. If `one_at_least`, the first may be larger.
    pub fn read(&self, offset: i64, most: usize, one_at_least: bool) -> io::Result<Bytes> {
        let first = self.batch_of(offset);
        let Some(begin) = self.batches.get(first).map(|place| place.position) else { return Ok(Bytes::new()) };
        let most = begin + most as u64;
        let fitting = self.batches[first..].partition_point(|place| place.position <= most);
        // The last of them begins within the bound, and so the one before it ends there.
        let end = if self.length <= most { self.length } else { self.begin_of(first + fitting.saturating_sub(1)) };
        let end = if one_at_least { end.max(self.begin_of(first + 1)) } else { end };
        let mut bytes = vec![0; usize::try_from(end - begin).map_err(io::Error::other)?];
        if !bytes.is_empty() {
            File::open(&self.path)?.read_exact_at(&mut bytes, begin)?;
        }
        Ok(bytes.into())
    }

    /// The first record that is not older, by its offset and its time.
    pub fn find(&self, time: i64) -> io::Result<Option<(i64, i64)>> {
        for place in self.batches.iter().filter(|place| place.latest >= time) {
            let batch = self.read(place.offset, 0, true)?;
            // There may be none, whatever the header says.
            if let Some(found) = Header::read(&batch).and_then(|header| batch::find(&header, &batch, time)) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn batch_of(&self, offset: i64) -> usize {
        self.batches.partition_point(|place| place.offset <= offset).saturating_sub(1)
    }

    fn begin_of(&self, batch: usize) -> u64 {
        self.batches.get(batch).map_or(self.length, |place| place.position)
    }
}
