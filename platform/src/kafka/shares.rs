//! What the members of a consumer group have, as the broker tells it.

use std::{collections::BTreeSet, time::Duration};

use bytes::Buf as _;
use rdkafka::{
    consumer::{Consumer as _, StreamConsumer},
    error::KafkaResult,
};

use super::group::GroupContext;

const TIMEOUT: Duration = Duration::from_secs(1);

/// Whether a group may have work for somebody whom it does not know: a partition of the topic is nobody's, or no member waits
/// for one. Blocks until the broker answers.
pub(super) fn lacks_a_member(consumer: &StreamConsumer<GroupContext>, topic: &str, group: &str) -> KafkaResult<bool> {
    let groups = consumer.fetch_group_list(Some(group), TIMEOUT)?;
    let Some(group) = groups.groups().iter().find(|found| found.name() == group) else { return Ok(true) };
    if group.state() != "Stable" {
        // The members share the partitions out just now.
        return Ok(group.members().is_empty());
    }
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    let all = metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id()).collect();
    let shares = group.members().iter().map(|member| partitions_of(topic, member.assignment().unwrap_or_default()));
    Ok(has_work(&all, &shares.map(Option::unwrap_or_default).collect::<Vec<_>>()))
}

fn has_work(all: &BTreeSet<i32>, shares: &[Vec<i32>]) -> bool {
    let taken: BTreeSet<i32> = shares.iter().flatten().copied().collect();
    !all.is_subset(&taken) || shares.iter().all(|share| !share.is_empty())
}

/// The partitions of a topic in a member's share, written by the consumer protocol: a version, and for each topic its name
/// and its partitions, with their lengths before them. `None` if it is something else.
fn partitions_of(topic: &str, mut share: &[u8]) -> Option<Vec<i32>> {
    share.try_get_i16().ok()?;
    let mut found = Vec::new();
    for _ in 0..share.try_get_i32().ok()? {
        let length = share.try_get_i16().ok()?;
        let name = share.split_off(..usize::try_from(length).ok()?)?;
        for _ in 0..share.try_get_i32().ok()? {
            let partition = share.try_get_i32().ok()?;
            if name == topic.as_bytes() {
                found.push(partition);
            }
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_as_it_is_written_and_nothing_else_is() {
        let share =
            b"\0\x01\0\0\0\x02\0\x01a\0\0\0\x01\0\0\0\x07\0\x06orders\0\0\0\x02\0\0\0\0\0\0\0\x02\xff\xff\xff\xff";
        assert_eq!(partitions_of("orders", share), Some(vec![0, 2]));
        assert_eq!(partitions_of("others", share), Some(Vec::new()));
        assert_eq!(partitions_of("orders", &share[..20]), None);
        assert_eq!(partitions_of("orders", b""), None);
    }

    #[test]
    fn a_group_has_work_while_a_partition_is_nobodys_or_nobody_waits_for_one() {
        let all = BTreeSet::from([0, 1]);
        assert!(has_work(&all, &[]));
        assert!(has_work(&all, &[vec![0], Vec::new()]));
        assert!(has_work(&all, &[vec![0], vec![1]]));
        assert!(!has_work(&all, &[vec![0], vec![1], Vec::new()]));
    }
}
