//! What the broker can be told to do wrong, so that a test sees what clients make of it.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;

use super::{Kafka, lock};

#[derive(Debug, Default)]
pub struct Faults {
    /// Nobody may create a topic.
    pub creates_no_topics: bool,
    /// The partitions without a leader, by the names of their topics: nothing is written there, nor read.
    pub leaderless: BTreeMap<String, BTreeSet<i32>>,
}

impl Faults {
    pub(super) fn check_leader(&self, topic: &str, partition: i32) -> Result<(), ResponseError> {
        let is_leaderless = self.leaderless.get(topic).is_some_and(|partitions| partitions.contains(&partition));
        if is_leaderless { Err(ResponseError::NotLeaderOrFollower) } else { Ok(()) }
    }
}

impl Kafka {
    /// Does these things wrong from now on, and nothing else.
    pub fn misbehave(&self, faults: Faults) {
        *lock(&self.0.faults) = faults;
        lock(&self.0.topics).all().for_each(|(_, topic)| topic.changed.send_replace(()));
    }

    pub(super) fn check_leader(&self, topic: &str, partition: i32) -> Result<(), ResponseError> {
        lock(&self.0.faults).check_leader(topic, partition)
    }

    pub(super) fn check_creation(&self) -> Result<(), ResponseError> {
        if lock(&self.0.faults).creates_no_topics { Err(ResponseError::TopicAuthorizationFailed) } else { Ok(()) }
    }
}
