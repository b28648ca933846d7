//! A group: who belongs to it, and how far its members are in dividing the partitions anew.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use bytes::Bytes;
use kafka_protocol::ResponseError::{
    self, IllegalGeneration, InconsistentGroupProtocol, MemberIdRequired, RebalanceInProgress, UnknownMemberId,
};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Answer, Described, Join, Joined, Refused, member::Member};

/// How long a name is kept for who was told to come again with it.
const NAMED_FOR: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Group {
    phase: Phase,
    generation: i32,
    protocol_type: String,
    protocol: String,
    leader: String,
    members: BTreeMap<String, Member>,
    /// Who was given a name, and may come with it, and when.
    named: HashMap<String, Instant>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Everybody has a share, or nobody is there.
    #[default]
    Stable,
    /// Members join until then.
    Joining { until: Instant },
    /// The leader divides the partitions, and the others ask for their shares, until then.
    Dividing { until: Instant },
}

impl Group {
    /// Takes in a member, new or known. The others are to join again, unless nothing has changed with it.
    pub fn join(&mut self, mut join: Join) -> Result<Answer<Joined>, Refused> {
        if join.member.is_empty() {
            join.member = format!("member-{}", Uuid::new_v4());
            if join.names_first {
                self.named.insert(join.member.clone(), Instant::now());
                return Err((MemberIdRequired, join.member));
            }
        } else if self.named.remove(&join.member).is_none() && !self.members.contains_key(&join.member) {
            return Err((UnknownMemberId, join.member));
        }
        let is_alone = self.members.keys().all(|member| *member == join.member);
        let is_shared = join.protocols.iter().any(|(name, _)| is_alone || self.all_know(name));
        if !is_shared || !(is_alone || self.protocol_type == join.protocol_type) {
            return Err((InconsistentGroupProtocol, join.member));
        }
        let (waiting, answer) = oneshot::channel();
        let known = self.members.get(&join.member);
        let is_same = known.is_some_and(|member| member.protocols == join.protocols);
        let is_follower = join.member != self.leader;
        self.protocol_type = join.protocol_type;
        let share = known.map(|member| member.share.clone()).unwrap_or_default();
        let member = Member {
            protocols: join.protocols,
            session_timeout: join.session_timeout,
            rebalance_timeout: join.rebalance_timeout,
            heard_at: Instant::now(),
            share,
            joining: Some(waiting),
            syncing: None,
        };
        self.members.insert(join.member.clone(), member);
        match self.phase {
            // It did not hear of the generation that it belongs to.
            Phase::Dividing { .. } if is_same => self.welcome(&join.member),
            Phase::Stable if is_same && is_follower && self.generation > 0 => self.welcome(&join.member),
            Phase::Stable | Phase::Dividing { .. } => self.rebalance(),
            Phase::Joining { .. } => {}
        }
        self.begin_if_complete();
        Ok(answer)
    }

    fn all_know(&self, protocol: &str) -> bool {
        self.members.values().all(|member| member.protocols.iter().any(|(name, _)| name == protocol))
    }

    /// All members are to join again.
    fn rebalance(&mut self) {
        self.phase = Phase::Joining { until: self.deadline() };
        for member in self.members.values_mut() {
            member.tell_share(Err(RebalanceInProgress));
        }
    }

    /// When those must have come who are waited for now.
    fn deadline(&self) -> Instant {
        let longest = self.members.values().map(|member| member.rebalance_timeout).max();
        Instant::now() + longest.unwrap_or_default()
    }

    /// Begins the next generation when all have joined.
    fn begin_if_complete(&mut self) {
        if matches!(self.phase, Phase::Joining { .. }) && self.members.values().all(|member| member.joining.is_some()) {
            self.begin();
        }
    }

    fn begin(&mut self) {
        let Some(first) = self.members.keys().next().cloned() else {
            self.phase = Phase::Stable;
            return;
        };
        self.generation += 1;
        if !self.members.contains_key(&self.leader) {
            self.leader = first;
        }
        let protocols = self.members.get(&self.leader).map(|leader| leader.protocols.clone()).unwrap_or_default();
        let shared = protocols.into_iter().map(|(name, _)| name).find(|name| self.all_know(name));
        self.protocol = shared.unwrap_or_default();
        self.phase = Phase::Dividing { until: self.deadline() };
        for name in self.members.keys().cloned().collect::<Vec<_>>() {
            self.welcome(&name);
        }
    }

    /// What a member said about itself for the protocol of the generation.
    fn metadata(&self, member: &Member) -> Bytes {
        let known = member.protocols.iter().find(|(protocol, _)| *protocol == self.protocol);
        known.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    /// Tells a member that joins of the generation.
    fn welcome(&mut self, name: &str) {
        let members = if name == self.leader {
            self.members.iter().map(|(name, member)| (name.clone(), self.metadata(member))).collect()
        } else {
            Vec::new()
        };
        let joined = Joined {
            member: name.to_owned(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members,
        };
        if let Some(member) = self.members.get_mut(name) {
            member.tell_joined(joined);
        }
    }

    /// Tells a member whether it may go on, or is to join again.
    pub fn heartbeat(&mut self, member: &str, generation: i32) -> Result<(), ResponseError> {
        self.hear(member, generation)?;
        if matches!(self.phase, Phase::Joining { .. }) { Err(RebalanceInProgress) } else { Ok(()) }
    }

    /// Whether a member may commit offsets.
    pub fn check_commit(&mut self, member: &str, generation: i32) -> Result<(), ResponseError> {
        self.hear(member, generation)?;
        if matches!(self.phase, Phase::Dividing { .. }) { Err(RebalanceInProgress) } else { Ok(()) }
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether nobody is there, nor will come with a name.
    pub fn is_over(&self) -> bool {
        self.is_empty() && self.named.is_empty()
    }

    pub fn protocol_type(&self) -> &str {
        &self.protocol_type
    }

    pub fn describe(&self) -> Described {
        let state = match self.phase {
            Phase::Stable if self.members.is_empty() => "Empty",
            Phase::Stable => "Stable",
            Phase::Joining { .. } => "PreparingRebalance",
            Phase::Dividing { .. } => "CompletingRebalance",
        };
        let members =
            self.members.iter().map(|(name, member)| (name.clone(), self.metadata(member), member.share.clone()));
        Described {
            state,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            members: members.collect(),
        }
    }

    fn hear(&mut self, member: &str, generation: i32) -> Result<&mut Member, ResponseError> {
        let member = self.members.get_mut(member).ok_or(UnknownMemberId)?;
        if generation != self.generation {
            return Err(IllegalGeneration);
        }
        member.heard_at = Instant::now();
        Ok(member)
    }

    /// Gives a member its share as soon as the leader has divided the partitions, which it does here.
    pub fn sync(
        &mut self,
        name: &str,
        generation: i32,
        shares: Vec<(String, Bytes)>,
    ) -> Result<Answer<Bytes>, ResponseError> {
        let (phase, is_leader) = (self.phase, name == self.leader);
        let member = self.hear(name, generation)?;
        let (waiting, answer) = oneshot::channel();
        match phase {
            Phase::Joining { .. } => return Err(RebalanceInProgress),
            Phase::Stable => {
                let _ = waiting.send(Ok(member.share.clone()));
            }
            Phase::Dividing { .. } => {
                member.syncing = Some(waiting);
                if is_leader {
                    self.divide(shares.into_iter().collect());
                }
            }
        }
        Ok(answer)
    }

    fn divide(&mut self, mut shares: HashMap<String, Bytes>) {
        self.phase = Phase::Stable;
        for (name, member) in &mut self.members {
            member.share = shares.remove(name).unwrap_or_default();
            member.tell_share(Ok(member.share.clone()));
        }
    }

    /// Lets a member go that says so. The others share anew.
    pub fn leave(&mut self, member: &str) -> Result<(), ResponseError> {
        if self.named.remove(member).is_some() {
            return Ok(());
        }
        self.members.remove(member).ok_or(UnknownMemberId)?;
        self.go_on_without();
        Ok(())
    }

    /// After a member has left.
    fn go_on_without(&mut self) {
        if !matches!(self.phase, Phase::Joining { .. }) {
            self.rebalance();
        }
        self.begin_if_complete();
    }

    /// Lets those go that are silent for longer than their session, or are not in time where the others wait for them.
    pub fn sweep(&mut self) {
        let (now, before, phase) = (Instant::now(), self.members.len(), self.phase);
        self.members.retain(|_, member| {
            let is_late = match phase {
                Phase::Stable => false,
                Phase::Joining { until } => until <= now && member.joining.is_none(),
                Phase::Dividing { until } => until <= now && member.syncing.is_none(),
            };
            !is_late && member.is_here(now)
        });
        if self.members.len() < before {
            self.go_on_without();
        }
        self.named.retain(|_, named_at| named_at.elapsed() < NAMED_FOR);
    }

    #[cfg(test)]
    pub fn pass(&mut self, time: Duration) {
        self.members.values_mut().for_each(|member| member.heard_at -= time);
    }
}
