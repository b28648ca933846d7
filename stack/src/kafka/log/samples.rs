//! Batches as producers send them, and others, for tests.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;

fn varint(number: i64) -> Vec<u8> {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

/// A record of this number in its batch, made so long after the first.
pub fn record(number: i64, after: i64) -> Vec<u8> {
    let fields = [vec![0], varint(after), varint(number), varint(-1), varint(1), vec![b'x'], varint(0)].concat();
    [varint(fields.len().try_into().unwrap()), fields].concat()
}

/// What a batch says of itself beside its records.
#[derive(Clone, Copy)]
pub struct Says {
    pub producer: (i64, i16, i32),
    pub codec: i16,
    pub records: i32,
    pub times: (i64, i64),
}

pub fn sealed(says: Says, records: &[u8]) -> Bytes {
    let (producer, epoch, sequence) = says.producer;
    let summed = [
        &says.codec.to_be_bytes()[..],
        &(says.records - 1).to_be_bytes(),
        &says.times.0.to_be_bytes(),
        &says.times.1.to_be_bytes(),
        &producer.to_be_bytes(),
        &epoch.to_be_bytes(),
        &sequence.to_be_bytes(),
        &says.records.to_be_bytes(),
        records,
    ]
    .concat();
    let length = i32::try_from(summed.len() + 9).unwrap();
    let sum = crc32c::crc32c(&summed);
    [&[0; 8][..], &length.to_be_bytes(), &[0; 4], &[2], &sum.to_be_bytes(), &summed].concat().into()
}

pub fn says(records: i32, producer: (i64, i16, i32)) -> Says {
    Says { producer, codec: 0, records, times: (1000, 1000) }
}

/// A batch of so many records, by a producer of this id and epoch that numbers its records from here.
pub fn batch(records: i32, producer: i64, epoch: i16, sequence: i32) -> Bytes {
    let content: Vec<u8> = (0..records).flat_map(|number| record(number.into(), 0)).collect();
    sealed(says(records, (producer, epoch, sequence)), &content)
}

/// A batch of records that were made at these times.
pub fn made_at(times: &[i64], codec: i16, compress: impl Fn(Vec<u8>) -> Vec<u8>) -> Bytes {
    let first = times[0];
    let content = (0_i64..).zip(times).flat_map(|(number, time)| record(number, time - first)).collect();
    let (records, latest) = (i32::try_from(times.len()).unwrap(), *times.iter().max().unwrap());
    sealed(Says { producer: (-1, -1, -1), codec, records, times: (first, latest) }, &compress(content))
}

pub fn plain(times: &[i64]) -> Bytes {
    made_at(times, 0, |content| content)
}
