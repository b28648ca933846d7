//! What the broker can be told to do wrong, so that a test sees what clients make of it.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;

use super::{Kafka, lock};

#[derive(Debug, Default)]
pub struct Faults {
    /// Nobody may create a topic.
    pub creates_no_topics: bool,
    /// Topics and partitions without a leader: nothing is written there, nor read.
    pub leaderless: BTreeSet<(String, i32)>,
}

impl Kafka {
    /// Does these things wrong from now on, and nothing else.
    pub fn misbehave(&self, faults: Faults) {
        *lock(&self.0.faults) = faults;
        lock(&self.0.topics).all().for_each(|(_, topic)| topic.changed.send_replace(()));
    }

    pub(super) fn check_leader(&self, topic: &str, partition: i32) -> Result<(), ResponseError> {
        let is_there = !lock(&self.0.faults).leaderless.contains(&(topic.to_owned(), partition));
        if is_there { Ok(()) } else { Err(ResponseError::NotLeaderOrFollower) }
    }

    pub(super) fn check_creation(&self) -> Result<(), ResponseError> {
        if lock(&self.0.faults).creates_no_topics { Err(ResponseError::TopicAuthorizationFailed) } else { Ok(()) }
    }
}
