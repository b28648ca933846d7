//! A batch of records, as a producer sends it and a reader gets it: what its header says, and whether it is true.
//!
//! The fields are those of <https://kafka.apache.org/documentation/#recordbatch>.

use bytes::Bytes;
use kafka_protocol::ResponseError::{
    self, CorruptMessage, InvalidRecord, InvalidTimestamp, UnsupportedCompressionType, UnsupportedForMessageFormat,
};

use super::records::{Codec, Record, Records};

/// A batch without records.
pub(super) const HEADER: usize = 61;
/// The length of a batch counts from here.
pub(super) const LENGTH_FROM: usize = 12;
/// The checksum is that of what follows from here.
const SUMMED_FROM: usize = 21;
/// The only format of records since Kafka 0.11.
const MAGIC: u8 = 2;
/// Bits of the attributes: the codec, whether the time is that of the broker, and what belongs to a transaction.
const CODEC: i16 = 0b111;
const OF_THE_BROKER: i16 = 0b1000;
const TRANSACTIONAL: i16 = 0b11_0000;

/// What the header of a batch says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    /// The offset of the first record.
    pub offset: i64,
    /// Of the whole batch, in bytes.
    pub length: usize,
    magic: u8,
    checksum: u32,
    attributes: i16,
    /// The offset of the last record, from that of the first.
    pub last: i32,
    /// When the first record was made, and the latest, in milliseconds since 1970.
    first_time: i64,
    pub latest: i64,
    pub producer: i64,
    pub epoch: i16,
    pub sequence: i32,
    count: i32,
}

impl Header {
    /// `None` if this is no header.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let header = Self {
            offset: i64::from_be_bytes(field(bytes, 0)?),
            length: usize::try_from(i32::from_be_bytes(field(bytes, 8)?)).ok()?.checked_add(LENGTH_FROM)?,
            magic: *bytes.get(16)?,
            checksum: u32::from_be_bytes(field(bytes, 17)?),
            attributes: i16::from_be_bytes(field(bytes, 21)?),
            last: i32::from_be_bytes(field(bytes, 23)?),
            first_time: i64::from_be_bytes(field(bytes, 27)?),
            latest: i64::from_be_bytes(field(bytes, 35)?),
            producer: i64::from_be_bytes(field(bytes, 43)?),
            epoch: i16::from_be_bytes(field(bytes, 51)?),
            sequence: i32::from_be_bytes(field(bytes, 53)?),
            count: i32::from_be_bytes(field(bytes, 57)?),
        };
        (header.length >= HEADER).then_some(header)
    }

    /// Whether the batch is as its producer sent it.
    pub fn is_intact(&self, batch: &[u8]) -> bool {
        let summed = batch.get(SUMMED_FROM..);
        self.magic == MAGIC && self.last >= 0 && summed.is_some_and(|summed| crc32c::crc32c(summed) == self.checksum)
    }
}

fn field<const N: usize>(bytes: &[u8], from: usize) -> Option<[u8; N]> {
    bytes.get(from..from + N)?.try_into().ok()
}

/// A batch as its producer sent it. It has as many records as it says, and their offsets follow one another; whether
/// their times are those that it says is not known.
pub(in crate::kafka) struct Batch<'a> {
    pub(super) header: Header,
    pub(super) bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Takes one batch of so many bytes at most.
    pub fn check(bytes: &'a [u8], most: usize) -> Result<Self, ResponseError> {
        Ok(Self { header: check(bytes, most)?, bytes })
    }
}

fn check(batch: &[u8], most: usize) -> Result<Header, ResponseError> {
    if batch.is_empty() {
        return Err(InvalidRecord);
    }
    let header = Header::read(batch).ok_or(CorruptMessage)?;
    if header.magic != MAGIC {
        return Err(UnsupportedForMessageFormat);
    }
    if header.length > most {
        return Err(ResponseError::MessageTooLarge);
    }
    // Too short, or more than one.
    if header.length > batch.len() || !header.is_intact(&batch[..header.length]) {
        return Err(CorruptMessage);
    }
    if header.length < batch.len()
        || header.attributes & TRANSACTIONAL != 0
        || header.last.checked_add(1) != Some(header.count)
    {
        return Err(InvalidRecord);
    }
    if header.attributes & OF_THE_BROKER != 0 {
        return Err(InvalidTimestamp);
    }
    let codec = Codec::of(header.attributes & CODEC).ok_or(UnsupportedCompressionType)?;
    let mut records = Records::open(codec, &batch[HEADER..]).map_err(|_| InvalidRecord)?;
    for number in 0..header.count {
        let record = records.read().map_err(|_| InvalidRecord)?;
        if record.offset != i64::from(number) {
            return Err(InvalidRecord);
        }
    }
    records.end().map_err(|_| InvalidRecord)?;
    Ok(header)
}

/// The first record of a batch that is not older, by its offset and its time.
pub(super) fn find(header: &Header, batch: &Bytes, time: i64) -> Option<(i64, i64)> {
    let mut records = Records::open(Codec::of(header.attributes & CODEC)?, batch.get(HEADER..)?).ok()?;
    (0..header.count).map_while(|_| records.read().ok()).find_map(|Record { offset, time: after }| {
        let made_at = header.first_time.saturating_add(after);
        (made_at >= time).then_some((header.offset + offset, made_at))
    })
}
