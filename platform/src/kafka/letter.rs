//! A dead letter: a record as it came, with the reason and the origin in its last headers.

use std::fmt;

use chrono::{DateTime, Utc};
use rdkafka::message::{Header, Message as _, OwnedHeaders, OwnedMessage};

use super::{
    dead_letters::{ERROR, OFFSET, PARTITION, SIZE, TOPIC},
    letters::Place,
    record,
};

/// The name of a header and its value.
pub type Field = (String, Option<Vec<u8>>);

/// The topic, the partition and the offset that a record was read at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub topic: String,
    pub place: Place,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.place)
    }
}

#[derive(Debug)]
pub struct Letter {
    record: OwnedMessage,
    /// `None` for a header whose name is no text.
    headers: Vec<Option<Field>>,
}

impl Letter {
    pub(super) fn new(record: OwnedMessage) -> Self {
        let owned = |header: Header<'_, &[u8]>| (header.key.to_owned(), header.value.map(<[u8]>::to_vec));
        let headers = record::headers(&record).map(|header| header.map(owned)).collect();
        Self { record, headers }
    }

    pub fn place(&self) -> Place {
        Place { partition: self.record.partition(), offset: self.record.offset() }
    }

    pub fn written_at(&self) -> Option<DateTime<Utc>> {
        self.record.timestamp().to_millis().and_then(DateTime::from_timestamp_millis)
    }

    pub fn key(&self) -> Option<&[u8]> {
        self.record.key()
    }

    pub fn payload(&self) -> Option<&[u8]> {
        self.record.payload()
    }

    /// All that can be shown.
    pub fn headers(&self) -> impl Iterator<Item = &Field> {
        self.headers.iter().flatten()
    }

    /// Why the record became a dead letter; `None` if nobody says.
    pub fn error(&self) -> Option<&str> {
        self.text(ERROR)
    }

    /// Where the record was read; `None` if nobody says.
    pub fn origin(&self) -> Option<Origin> {
        let place = Place { partition: self.text(PARTITION)?.parse().ok()?, offset: self.text(OFFSET)?.parse().ok()? };
        Some(Origin { topic: self.text(TOPIC)?.to_owned(), place })
    }

    /// Whether the record was too large for a letter, which has only told of it.
    pub(super) fn is_stub(&self) -> bool {
        self.payload().is_none() && self.text(SIZE).is_some()
    }

    /// The last header of a name: earlier ones came with the record.
    fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers().filter(|(other, _)| other == name).last()?;
        str::from_utf8(value.as_deref()?).ok()
    }

    /// The headers that the record had before it became a dead letter. If a name is no text, nothing can be taken out, and
    /// they are those of the letter.
    pub(super) fn original_headers(&self) -> OwnedHeaders {
        let all: Option<Vec<&Field>> = self.headers.iter().map(Option::as_ref).collect();
        let Some(all) = all else { return self.record.headers().cloned().unwrap_or_default() };
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        let original = if names.ends_with(&[ERROR, TOPIC, PARTITION, OFFSET]) { &all[..all.len() - 4] } else { &all };
        original.iter().fold(OwnedHeaders::new_with_capacity(original.len()), |headers, (key, value)| {
            headers.insert(Header { key, value: value.as_ref() })
        })
    }
}
