//! The records of a batch, which may be compressed as a whole.
//!
//! The fields are those of <https://kafka.apache.org/documentation/#record>.

use std::io::{self, BufRead, BufReader, Read};

use flate2::read::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder;
use ruzstd::decoding::StreamingDecoder;
use strum::FromRepr;

/// The records of a batch may have so many bytes. A few bytes can claim to be many more.
const MOST_UNPACKED: u64 = 100 * 1024 * 1024;
/// What Java's clients put around blocks of Snappy: this, two versions, and the length of each block.
const XERIAL: &[u8] = b"\x82SNAPPY\0";
const XERIAL_HEADER: usize = 16;

/// In the order of their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRepr)]
#[repr(i16)]
pub(super) enum Codec {
    Plain,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    pub fn of(number: i16) -> Option<Self> {
        Self::from_repr(number)
    }

    fn open(self, bytes: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::Plain => Box::new(bytes),
            Self::Gzip => Box::new(MultiGzDecoder::new(bytes)),
            Self::Snappy => Box::new(io::Cursor::new(snappy(bytes)?)),
            Self::Lz4 => Box::new(FrameDecoder::new(bytes)),
            Self::Zstd => Box::new(StreamingDecoder::new(bytes).map_err(io::Error::other)?),
        })
    }
}

fn snappy(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let block = |block: &[u8]| {
        if snap::raw::decompress_len(block)? as u64 > MOST_UNPACKED {
            return Err(damaged());
        }
        Ok(snap::raw::Decoder::new().decompress_vec(block)?)
    };
    if !bytes.starts_with(XERIAL) {
        return block(bytes);
    }
    let (mut rest, mut all) = (bytes.get(XERIAL_HEADER..).ok_or_else(damaged)?, Vec::new());
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        let (compressed, after) = after.split_at_checked(length).ok_or_else(damaged)?;
        all.extend(block(compressed)?);
        if all.len() as u64 > MOST_UNPACKED {
            return Err(damaged());
        }
        rest = after;
    }
    if rest.is_empty() { Ok(all) } else { Err(damaged()) }
}

fn damaged() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// What is told of a record, from the first of its batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub offset: i64,
    /// In milliseconds.
    pub time: i64,
}

/// Reads records one after the other.
pub(super) struct Records<'a>(BufReader<io::Take<Box<dyn Read + 'a>>>);

impl<'a> Records<'a> {
    pub fn open(codec: Codec, bytes: &'a [u8]) -> io::Result<Self> {
        Ok(Self(BufReader::new(codec.open(bytes)?.take(MOST_UNPACKED))))
    }

    pub fn read(&mut self) -> io::Result<Record> {
        let length = u64::try_from(number(&mut self.0)?).map_err(|_| damaged())?;
        let mut record = self.0.by_ref().take(length);
        let _attributes: [u8; 1] = bytes(&mut record)?;
        let (time, offset) = (number(&mut record)?, number(&mut record)?);
        let [_key, _value] = [skip(&mut record)?, skip(&mut record)?];
        for _ in 0..number(&mut record)? {
            let [_name, _value] = [skip(&mut record)?, skip(&mut record)?];
        }
        if record.limit() == 0 { Ok(Record { offset, time }) } else { Err(damaged()) }
    }

    /// That nothing follows.
    pub fn end(&mut self) -> io::Result<()> {
        if self.0.fill_buf()?.is_empty() { Ok(()) } else { Err(damaged()) }
    }
}

fn bytes<const N: usize>(source: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A number in as few bytes as it needs, of which every second is negative.
fn number(source: &mut impl Read) -> io::Result<i64> {
    let mut number: u64 = 0;
    for place in 0..10 {
        let [byte] = bytes(source)?;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
        }
    }
    Err(damaged())
}

/// Passes over bytes that have their length before them; there may be none.
fn skip(source: &mut impl Read) -> io::Result<()> {
    let length = number(source)?;
    if length < -1 {
        return Err(damaged());
    }
    let length = u64::try_from(length).unwrap_or_default();
    if io::copy(&mut source.take(length), &mut io::sink())? == length { Ok(()) } else { Err(damaged()) }
}
