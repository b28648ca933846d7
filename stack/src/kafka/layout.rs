//! How requests are laid out, so that what a client says of the length of a list is held against the bytes that follow.
//! The crate that decodes them believes it, and the process ends when there is no memory for so many.
//!
//! The fields are those of <https://kafka.apache.org/protocol#protocol_api_keys>.

use anyhow::{Context as _, ensure};
use kafka_protocol::messages::ApiKey;

use super::topics::MOST_IN_ALL;
use Field::{Before, Bytes, Fixed, List, Many, Since, Text};

/// A request with more entries in its lists is refused. All partitions that there may be find room, with their topics.
const MOST_ENTRIES: usize = 2 * MOST_IN_ALL as usize;

#[derive(Debug)]
enum Field {
    /// Of so many bytes.
    Fixed(usize),
    Text,
    Bytes,
    /// Entries of several fields.
    List(&'static [Field]),
    /// Entries of one field.
    Many(&'static Field),
    /// A field that there is from this version on.
    Since(i16, &'static Field),
    /// A field that there was before this version.
    Before(i16, &'static Field),
}

/// Of the requests that are answered, in the versions that are offered.
const LAYOUTS: [(ApiKey, &[Field]); 19] = [
    (ApiKey::Produce, &[Text, Fixed(6), List(&[Text, List(&[Fixed(4), Bytes])])]),
    (
        ApiKey::Fetch,
        &[
            Fixed(17),
            Since(7, &Fixed(8)),
            List(&[
                Text,
                List(&[Fixed(4), Since(9, &Fixed(4)), Fixed(8), Since(12, &Fixed(4)), Since(5, &Fixed(8)), Fixed(4)]),
            ]),
            Since(7, &List(&[Text, Many(&Fixed(4))])),
            Since(11, &Text),
        ],
    ),
    (
        ApiKey::ListOffsets,
        &[Fixed(4), Since(2, &Fixed(1)), List(&[Text, List(&[Fixed(4), Since(4, &Fixed(4)), Fixed(8)])])],
    ),
    (
        ApiKey::Metadata,
        &[
            List(&[Since(10, &Fixed(16)), Text]),
            Since(4, &Fixed(1)),
            Since(8, &Before(11, &Fixed(1))),
            Since(8, &Fixed(1)),
        ],
    ),
    (
        ApiKey::OffsetCommit,
        &[Text, Fixed(4), Text, Before(5, &Fixed(8)), List(&[Text, List(&[Fixed(12), Since(6, &Fixed(4)), Text])])],
    ),
    (ApiKey::OffsetFetch, &[Text, List(&[Text, Many(&Fixed(4))]), Since(7, &Fixed(1))]),
    (ApiKey::FindCoordinator, &[Text, Since(1, &Fixed(1))]),
    (ApiKey::JoinGroup, &[Text, Fixed(4), Since(1, &Fixed(4)), Text, Text, List(&[Text, Bytes])]),
    (ApiKey::Heartbeat, &[Text, Fixed(4), Text]),
    (ApiKey::LeaveGroup, &[Text, Text]),
    (ApiKey::SyncGroup, &[Text, Fixed(4), Text, List(&[Text, Bytes])]),
    (ApiKey::DescribeGroups, &[Many(&Text)]),
    (ApiKey::ListGroups, &[]),
    (ApiKey::ApiVersions, &[Since(3, &Text), Since(3, &Text)]),
    (
        ApiKey::CreateTopics,
        &[List(&[Text, Fixed(6), List(&[Fixed(4), Many(&Fixed(4))]), List(&[Text, Text])]), Fixed(5)],
    ),
    (ApiKey::DeleteTopics, &[Many(&Text), Fixed(4)]),
    (ApiKey::InitProducerId, &[Text, Fixed(4), Since(3, &Fixed(10))]),
    (ApiKey::OffsetForLeaderEpoch, &[Since(3, &Fixed(4)), List(&[Text, List(&[Fixed(12)])])]),
    (ApiKey::DescribeConfigs, &[List(&[Fixed(1), Text, Many(&Text)]), Fixed(1), Since(3, &Fixed(1))]),
];

/// Whether the body of a request is all there. Returns what follows it.
pub(super) fn check(api: ApiKey, version: i16, body: &[u8]) -> anyhow::Result<&[u8]> {
    let layout = LAYOUTS.iter().find(|(laid_out, _)| *laid_out == api);
    let (_, fields) = layout.with_context(|| format!("the layout of {api:?} is not known"))?;
    let is_compact = api.request_header_version(version) >= 2;
    let mut walk = Walk { rest: body, version, is_compact, entries: 0 };
    walk.entry(fields).with_context(|| format!("what is sent as {api:?} is none"))?;
    Ok(walk.rest)
}

struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    /// Whether lengths are written in as few bytes as they need, and tagged fields may follow the others.
    is_compact: bool,
    /// Of all lists so far.
    entries: usize,
}

impl Walk<'_> {
    fn entry(&mut self, fields: &[Field]) -> anyhow::Result<()> {
        fields.iter().try_for_each(|field| self.field(field))?;
        if self.is_compact {
            for _ in 0..self.number()? {
                self.count_entry()?;
                let _tag = self.number()?;
                let length = self.number()?;
                self.skip(length)?;
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &Field) -> anyhow::Result<()> {
        match field {
            Fixed(bytes) => self.skip(*bytes),
            Text if !self.is_compact => {
                let length = i16::from_be_bytes(self.take()?);
                self.skip(length_of(length.into())?)
            }
            Text | Bytes => {
                let length = self.length()?;
                self.skip(length)
            }
            List(fields) => self.entries(|walk| walk.entry(fields)),
            Many(field) => self.entries(|walk| walk.field(field)),
            Since(version, field) if self.version >= *version => self.field(field),
            Before(version, field) if self.version < *version => self.field(field),
            Since(..) | Before(..) => Ok(()),
        }
    }

    fn entries(&mut self, entry: impl Fn(&mut Self) -> anyhow::Result<()>) -> anyhow::Result<()> {
        for _ in 0..self.length()? {
            self.count_entry()?;
            entry(self)?;
        }
        Ok(())
    }

    fn count_entry(&mut self) -> anyhow::Result<()> {
        self.entries += 1;
        ensure!(self.entries <= MOST_ENTRIES, "there are more than {MOST_ENTRIES} entries");
        Ok(())
    }

    /// Of a list or of bytes. What is null has none.
    fn length(&mut self) -> anyhow::Result<usize> {
        if self.is_compact { Ok(self.number()?.saturating_sub(1)) } else { length_of(i32::from_be_bytes(self.take()?)) }
    }

    /// A number in as few bytes as it needs.
    fn number(&mut self) -> anyhow::Result<usize> {
        let mut number = 0;
        for place in 0..5 {
            let [byte] = self.take()?;
            number |= usize::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        anyhow::bail!("a number does not end")
    }

    fn take<const N: usize>(&mut self) -> anyhow::Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk().context("it ends too early")?;
        self.rest = rest;
        Ok(*taken)
    }

    fn skip(&mut self, bytes: usize) -> anyhow::Result<()> {
        self.rest = self.rest.get(bytes..).context("it ends too early")?;
        Ok(())
    }
}

/// -1 stands for null.
fn length_of(length: i32) -> anyhow::Result<usize> {
    ensure!(length >= -1, "a length is {length}");
    Ok(usize::try_from(length).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_list_that_is_said_to_be_longer_than_the_request_is_refused() {
        let huge = &i32::MAX.to_be_bytes()[..];
        for (api, version, body) in [
            (ApiKey::Metadata, 1, huge.to_vec()),
            (ApiKey::Metadata, 12, vec![0xff, 0xff, 0xff, 0xff, 0x0f]),
            (ApiKey::Metadata, 12, vec![0xff; 20]),
            (ApiKey::Produce, 3, [&[0xff, 0xff, 0, 1, 0, 0, 0, 9], huge].concat()),
            (ApiKey::Produce, 3, [&[0xff, 0xff, 0, 1, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0], huge].concat()),
            (ApiKey::DeleteTopics, 1, vec![0x80, 0, 0, 0]),
        ] {
            assert!(check(api, version, &body).is_err(), "{api:?} {version} {body:?}");
        }
    }

    #[test]
    fn a_request_of_too_many_entries_is_refused() {
        let names = |count: usize| {
            let length = i32::try_from(count).unwrap().to_be_bytes();
            [&length[..], &vec![0; 2 * count]].concat()
        };
        assert!(check(ApiKey::Metadata, 1, &names(MOST_ENTRIES)).unwrap().is_empty());
        assert!(check(ApiKey::Metadata, 1, &names(MOST_ENTRIES + 1)).is_err());
    }

    #[test]
    fn offsets_of_as_many_partitions_as_there_may_be_are_given() {
        let list = |entries: &[Vec<u8>]| {
            let length = i32::try_from(entries.len()).unwrap().to_be_bytes();
            [&length[..], &entries.concat()].concat()
        };
        let name = vec![0, 1, b'x'];
        let topic = [name.clone(), list(&vec![vec![0; 4]; 1000])].concat();
        let topics = list(&vec![topic; MOST_IN_ALL as usize / 1000]);
        assert!(check(ApiKey::OffsetFetch, 1, &[name, topics].concat()).unwrap().is_empty());
    }
}
