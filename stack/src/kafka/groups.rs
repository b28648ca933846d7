//! Consumer groups, by the classic protocol: members join, one of them divides the partitions, and all get their share.
//! Groups live as long as the process. When it starts anew, members join again and go on from what was committed.

mod group;
mod member;

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use bytes::Bytes;
use kafka_protocol::ResponseError::{self, InvalidGroupId, UnknownMemberId};
use tokio::sync::oneshot;

use group::Group;

/// Names and metadata of the ways to divide partitions that a member knows, the best first.
pub(super) type Protocols = Vec<(String, Bytes)>;

#[derive(Debug, Clone)]
pub(super) struct Join {
    /// Empty for who is new.
    pub member: String,
    pub protocol_type: String,
    pub protocols: Protocols,
    /// Whoever is silent for this long has left.
    pub session_timeout: Duration,
    /// Whoever does not join a new generation for this long has left.
    pub rebalance_timeout: Duration,
    /// Whether a new member must come again with the name that it gets.
    pub names_first: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Joined {
    pub member: String,
    pub generation: i32,
    pub protocol_type: String,
    pub protocol: String,
    pub leader: String,
    /// All members and their metadata, for the leader alone.
    pub members: Vec<(String, Bytes)>,
}

/// A group as others see it.
#[derive(Debug, Default)]
pub(super) struct Described {
    /// In Kafka's words.
    pub state: &'static str,
    pub protocol_type: String,
    pub protocol: String,
    /// Names, metadata and shares.
    pub members: Vec<(String, Bytes, Bytes)>,
}

/// An answer that may have to wait for other members.
pub(super) type Answer<T> = oneshot::Receiver<Result<T, ResponseError>>;

/// Who joins, and the refusal with the name to come again with.
pub(super) type Refused = (ResponseError, String);

#[derive(Debug, Default)]
pub(super) struct Groups(HashMap<String, Group>);

impl Groups {
    /// The group's answer comes when all of its members have joined.
    pub fn join(&mut self, group: &str, join: Join) -> Result<Answer<Joined>, Refused> {
        if group.is_empty() {
            return Err((InvalidGroupId, join.member));
        }
        self.0.entry(group.to_owned()).or_default().join(join)
    }

    /// The member's share comes when the leader has divided the partitions. The leader says here how.
    pub fn sync(
        &mut self,
        group: &str,
        member: &str,
        generation: i32,
        shares: Vec<(String, Bytes)>,
    ) -> Result<Answer<Bytes>, ResponseError> {
        self.0.get_mut(group).ok_or(UnknownMemberId)?.sync(member, generation, shares)
    }

    pub fn heartbeat(&mut self, group: &str, member: &str, generation: i32) -> Result<(), ResponseError> {
        self.0.get_mut(group).ok_or(UnknownMemberId)?.heartbeat(member, generation)
    }

    /// Whether a member may commit offsets. Whoever is no member may, if there are none.
    pub fn check_commit(&mut self, group: &str, member: &str, generation: i32) -> Result<(), ResponseError> {
        match self.0.get_mut(group).filter(|group| !group.is_empty()) {
            Some(group) => group.check_commit(member, generation),
            None if generation < 0 => Ok(()),
            None => Err(UnknownMemberId),
        }
    }

    pub fn leave(&mut self, group: &str, member: &str) -> Result<(), ResponseError> {
        self.0.get_mut(group).ok_or(UnknownMemberId)?.leave(member)
    }

    /// All groups, with what they are for.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, group)| (name.as_str(), group.protocol_type()))
    }

    /// A group of which nothing is known but its offsets is empty; without any, there is none.
    pub fn describe(&self, group: &str, has_offsets: bool) -> Described {
        let state = if has_offsets { "Empty" } else { "Dead" };
        self.0.get(group).map_or(Described { state, ..Described::default() }, Group::describe)
    }

    /// The names of those that somebody belongs to.
    pub fn with_members(&self) -> HashSet<String> {
        self.0.iter().filter(|(_, group)| !group.is_empty()).map(|(name, _)| name.clone()).collect()
    }

    /// Removes the members that are silent, or do not join. To be called now and then.
    pub fn sweep(&mut self) {
        self.0.values_mut().for_each(Group::sweep);
        self.0.retain(|_, group| !group.is_over());
    }

    /// As if so much time had passed without a word.
    #[cfg(test)]
    fn pass(&mut self, time: Duration) {
        self.0.values_mut().for_each(|group| group.pass(time));
    }
}

#[cfg(test)]
mod tests;
