#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, os::unix::fs::FileExt as _};

use super::{
    samples::{Says, batch, made_at, plain, record, says, sealed},
    *,
};

const MOST: usize = 1024;

fn settings() -> Settings {
    Settings { max_message_bytes: MOST, ..Settings::default() }
}

fn open(directory: &Path) -> Log {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let bases = names.filter_map(|name| parse(&name)).map(|(_, base)| base).collect();
    Log::open(directory, 0, 7, bases).unwrap()
}

impl Log {
    /// Appends what a producer sends.
    fn send(&mut self, bytes: &Bytes, settings: &Settings) -> Result<i64, ResponseError> {
        self.append(&Batch::check(bytes, settings.max_message_bytes)?, settings)
    }
}

fn log() -> (tempfile::TempDir, Log) {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    (directory, log)
}

fn offset_of(batches: &Bytes) -> i64 {
    i64::from_be_bytes(batches[..8].try_into().unwrap())
}

#[test]
fn a_record_in_the_middle_of_a_batch_is_read_with_its_batch_and_those_that_follow() {
    let (_directory, mut log) = log();
    assert_eq!(log.read(0, MOST, true).unwrap(), Bytes::new());
    let [first, second] = [batch(10, -1, -1, -1), batch(5, -1, -1, -1)];
    assert_eq!(log.send(&first, &settings()), Ok(0));
    assert_eq!(log.send(&second, &settings()), Ok(10));
    let read = log.read(7, MOST, true).unwrap();
    assert_eq!((read.len(), offset_of(&read)), (first.len() + second.len(), 0));
    assert_eq!(&read[12..16], [0, 0, 0, 7], "the leader's epoch");
    let read = log.read(12, MOST, true).unwrap();
    assert_eq!((read.len(), offset_of(&read)), (second.len(), 10));
    assert_eq!(log.read(15, MOST, true).unwrap(), Bytes::new());
    assert_eq!(log.read(16, MOST, true), Err(ResponseError::OffsetOutOfRange));
}

#[test]
fn as_many_batches_are_read_as_there_is_room_for() {
    let (_directory, mut log) = log();
    let length = batch(1, -1, -1, -1).len();
    for _ in 0..3 {
        log.send(&batch(1, -1, -1, -1), &settings()).unwrap();
    }
    for (room, one_at_least, batches) in [
        (0, true, 1),
        (0, false, 0),
        (length - 1, false, 0),
        (length, false, 1),
        (3 * length - 1, true, 2),
        (MOST, true, 3),
    ] {
        assert_eq!(log.read(0, room, one_at_least).unwrap().len(), batches * length, "{room}");
    }
    assert_eq!(
        (log.size_from(0), log.size_from(1), log.size_from(3)),
        (Ok(3 * length as u64), Ok(2 * length as u64), Ok(0))
    );
}

#[test]
fn a_log_that_is_opened_again_has_all_that_was_written_whole() {
    let (directory, mut log) = log();
    log.send(&batch(3, 7, 0, 0), &settings()).unwrap();
    log.send(&batch(2, 7, 0, 3), &settings()).unwrap();
    let (path, end) = (log.active.path().to_owned(), log.active.length);
    let file = fs::File::options().write(true).open(path).unwrap();
    // Cut short, whole with a wrong sum, and whole at a wrong place.
    let torn = batch(4, 7, 0, 5);
    let mut garbled = torn.to_vec();
    garbled[7] = 5;
    *garbled.last_mut().unwrap() = 9;
    for left in [&torn[..70], &garbled, &torn] {
        file.write_all_at(left, end).unwrap();
        let log = open(directory.path());
        assert_eq!((log.next_offset(), log.active.length, file.metadata().unwrap().len()), (5, end, end));
    }
    let mut log = open(directory.path());
    assert_eq!(log.send(&batch(2, 7, 0, 3), &settings()), Ok(3), "it knows what the producer sent");
    assert_eq!(log.send(&batch(1, 7, 0, 5), &settings()), Ok(5));
}

#[test]
fn a_batch_that_was_not_written_to_its_end_is_in_no_later_ones_way() {
    let (directory, mut log) = log();
    log.send(&batch(1, -1, -1, -1), &settings()).unwrap();
    let file = fs::File::options().write(true).open(log.active.path()).unwrap();
    let mut torn = batch(9, -1, -1, -1).to_vec();
    torn.extend(&batch(1, -1, -1, -1));
    file.write_all_at(&torn, log.active.length).unwrap();
    assert_eq!(log.send(&batch(1, -1, -1, -1), &settings()), Ok(1));
    assert_eq!(file.metadata().unwrap().len(), log.active.length);
    assert_eq!(open(directory.path()).next_offset(), 2);
}

#[test]
fn what_cannot_be_written_is_refused_and_not_there() {
    let (directory, mut log) = log();
    log.send(&batch(1, -1, -1, -1), &settings()).unwrap();
    let away = directory.path().join("away");
    fs::rename(log.active.path(), &away).unwrap();
    assert_eq!(log.send(&batch(1, 7, 0, 0), &settings()), Err(ResponseError::KafkaStorageError));
    assert_eq!(log.read(0, MOST, true), Err(ResponseError::KafkaStorageError));
    fs::rename(&away, log.active.path()).unwrap();
    assert_eq!((log.next_offset(), log.send(&batch(1, 7, 0, 0), &settings())), (1, Ok(1)));
}

#[test]
fn what_a_producer_sends_again_is_not_appended_again() {
    let (_directory, mut log) = log();
    let mut append = |batch| log.send(&batch, &settings());
    assert_eq!(append(batch(2, 7, 0, 4)), Ok(0), "a log that begins anew takes any number");
    assert_eq!(append(batch(1, 7, 0, 6)), Ok(2));
    assert_eq!(append(batch(2, 7, 0, 4)), Ok(0));
    assert_eq!(append(batch(1, 7, 0, 8)), Err(ResponseError::OutOfOrderSequenceNumber));
    assert_eq!(append(batch(1, 7, 1, 0)), Ok(3));
    assert_eq!(append(batch(1, 7, 0, 7)), Err(ResponseError::InvalidProducerEpoch));
    assert_eq!(append(batch(1, 8, 0, i32::MAX)), Ok(4));
    assert_eq!(append(batch(1, 8, 0, 0)), Ok(5), "numbers begin again");
    assert_eq!(log.next_offset(), 6);
}

#[test]
fn what_is_no_batch_is_refused() {
    let (_directory, mut log) = log();
    let whole = batch(2, -1, -1, -1);
    let record = [record(0, 0), record(1, 0)];
    let mut wrong_sum = whole.to_vec();
    wrong_sum[20] ^= 1;
    let mut other_format = whole.to_vec();
    other_format[16] = 1;
    let lies = |records, content: &[u8]| sealed(says(records, (-1, -1, -1)), content);
    let with = |codec| sealed(Says { codec, ..says(2, (-1, -1, -1)) }, &record.concat());
    for (refused, error) in [
        (Bytes::from_static(b"no batch"), ResponseError::CorruptMessage),
        (whole.slice(..65), ResponseError::CorruptMessage),
        (wrong_sum.into(), ResponseError::CorruptMessage),
        (other_format.into(), ResponseError::UnsupportedForMessageFormat),
        (Bytes::new(), ResponseError::InvalidRecord),
        ([&whole[..], &whole].concat().into(), ResponseError::InvalidRecord),
        (lies(1000, &record.concat()), ResponseError::InvalidRecord),
        (lies(1, &record.concat()), ResponseError::InvalidRecord),
        (lies(2, b"garbage after the header"), ResponseError::InvalidRecord),
        (lies(2, &[record[1].clone(), record[0].clone()].concat()), ResponseError::InvalidRecord),
        (lies(2, &[&record.concat()[..], &[0]].concat()), ResponseError::InvalidRecord),
        (lies(0, &[]), ResponseError::CorruptMessage),
        (with(4), ResponseError::InvalidRecord),
        (with(5), ResponseError::UnsupportedCompressionType),
        (with(0b1000), ResponseError::InvalidTimestamp),
        (with(0b1_0000), ResponseError::InvalidRecord),
    ] {
        assert_eq!(log.send(&refused, &settings()), Err(error), "{refused:?}");
    }
    let small = Settings { max_message_bytes: whole.len() - 1, ..settings() };
    assert_eq!(log.send(&whole, &small), Err(ResponseError::MessageTooLarge));
    assert_eq!(log.next_offset(), 0);
    assert_eq!(log.send(&whole, &settings()), Ok(0));
}

#[test]
fn the_first_record_that_is_not_older_is_found_wherever_it_is() {
    let (_directory, mut log) = log();
    assert_eq!((log.find(0), log.find_latest()), (Ok(None), Ok(None)));
    let segmented = Settings { segment_bytes: 1, ..settings() };
    log.send(&plain(&[1000, 1100, 1050]), &segmented).unwrap();
    log.send(&plain(&[3000, 2000]), &segmented).unwrap();
    log.send(&plain(&[1500]), &segmented).unwrap();
    for (time, found) in
        [(0, Some((0, 1000))), (1001, Some((1, 1100))), (1101, Some((3, 3000))), (2500, Some((3, 3000))), (3001, None)]
    {
        assert_eq!(log.find(time), Ok(found), "{time}");
    }
    assert_eq!(log.find_latest(), Ok(Some((3, 3000))));
}

#[test]
fn a_batch_that_claims_to_be_newer_than_it_is_hides_none_that_follow() {
    let lie = sealed(Says { times: (1000, 9000), ..says(1, (-1, -1, -1)) }, &record(0, 0));
    for segment_bytes in [1, Settings::default().segment_bytes] {
        let (_directory, mut log) = log();
        let settings = Settings { segment_bytes, ..settings() };
        for batch in [&lie, &plain(&[1500]), &lie, &plain(&[3000])] {
            log.send(batch, &settings).unwrap();
        }
        let found = [1000, 1001, 2000, 3001].map(|time| log.find(time).unwrap());
        assert_eq!(found, [Some((0, 1000)), Some((1, 1500)), Some((3, 3000)), None]);
    }
}

#[test]
fn records_are_found_in_batches_of_each_codec() {
    use std::io::Write as _;

    let gzip = |content: Vec<u8>| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&content).unwrap();
        encoder.finish().unwrap()
    };
    let raw = |content: Vec<u8>| snap::raw::Encoder::new().compress_vec(&content).unwrap();
    let xerial = |content: Vec<u8>| {
        let block = raw(content);
        let length = u32::try_from(block.len()).unwrap().to_be_bytes();
        [&b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"[..], &length, &block].concat()
    };
    let lz4 = |content: Vec<u8>| {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(&content).unwrap();
        encoder.finish().unwrap()
    };
    let zstd =
        |content: Vec<u8>| ruzstd::encoding::compress_to_vec(&content[..], ruzstd::encoding::CompressionLevel::Fastest);
    let times: Vec<i64> = (0..300).map(|number| 1000 + number).collect();
    for (name, batch) in [
        ("gzip", made_at(&times, 1, gzip)),
        ("snappy", made_at(&times, 2, raw)),
        ("snappy of Java's clients", made_at(&times, 2, xerial)),
        ("lz4", made_at(&times, 3, lz4)),
        ("zstd", made_at(&times, 4, zstd)),
    ] {
        let (_directory, mut log) = log();
        assert_eq!(log.send(&batch, &Settings::default()), Ok(0), "{name}");
        assert_eq!(log.find(1234), Ok(Some((234, 1234))), "{name}");
    }
}

#[test]
fn what_is_old_is_forgotten_and_what_is_too_much_once_it_is_read() {
    let (directory, mut log) = log();
    let length = plain(&[1000]).len();
    let settings =
        Settings { retention_ms: 1000, retention_bytes: length as i64, segment_bytes: 1, ..Settings::default() };
    for time in [1000, 2000, 3000, 3500] {
        log.send(&plain(&[time]), &settings).unwrap();
    }
    log.tidy(2500, &settings, Some(1));
    assert_eq!(log.first_offset(), 1, "the first is old");
    log.tidy(2500, &settings, Some(2));
    assert_eq!(log.first_offset(), 2, "the second is too much, and read");
    assert_eq!(log.read(1, MOST, true), Err(ResponseError::OffsetOutOfRange));
    log.tidy(2500, &settings, None);
    assert_eq!((log.first_offset(), log.find(0)), (3, Ok(Some((3, 3500)))), "nobody reads");
    assert_eq!((open(directory.path()).first_offset(), open(directory.path()).next_offset()), (3, 4));

    log.tidy(9999, &settings, Some(0));
    assert_eq!((log.first_offset(), log.next_offset()), (4, 4), "all are old");
    assert_eq!(open(directory.path()).next_offset(), 4, "no offset is given twice");
    assert_eq!(log.send(&plain(&[9999]), &settings), Ok(4));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn no_offset_is_given_twice_when_a_file_could_not_be_begun_and_all_before_it_are_old() {
    let (directory, mut log) = log();
    let settings = Settings { retention_ms: 1000, segment_bytes: 1, ..Settings::default() };
    log.send(&plain(&[1000]), &settings).unwrap();
    let in_the_way = directory.path().join("0-1.log");
    fs::create_dir(&in_the_way).unwrap();
    assert_eq!(log.send(&plain(&[1000]), &settings), Err(ResponseError::KafkaStorageError));
    log.tidy(9999, &settings, None);
    assert_eq!(log.first_offset(), 0, "nothing tells the next offset yet");
    fs::remove_dir(&in_the_way).unwrap();
    log.tidy(9999, &settings, None);
    assert_eq!((log.first_offset(), open(directory.path()).next_offset()), (1, 1));
}

#[test]
fn what_is_kept_for_ever_is_not_forgotten() {
    let (_directory, mut log) = log();
    let settings = Settings { retention_ms: -1, retention_bytes: -1, segment_bytes: 1, ..Settings::default() };
    for _ in 0..3 {
        log.send(&plain(&[1000]), &settings).unwrap();
    }
    log.tidy(i64::MAX, &settings, None);
    assert_eq!((log.first_offset(), log.size_from(1)), (0, Ok(2 * plain(&[1000]).len() as u64)));
}
