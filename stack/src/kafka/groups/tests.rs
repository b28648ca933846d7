#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use kafka_protocol::ResponseError::{IllegalGeneration, MemberIdRequired, RebalanceInProgress};

use super::*;

const GROUP: &str = "readers";

fn join(member: &str) -> Join {
    Join {
        member: member.to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), Bytes::from_static(b"topics"))],
        session_timeout: Duration::from_secs(60),
        rebalance_timeout: Duration::from_secs(60),
        names_first: true,
    }
}

/// Joins as a new member. Returns its name, and the answer that may have to wait.
fn join_anew(groups: &mut Groups, change: impl Fn(&mut Join)) -> (String, Answer<Joined>) {
    let mut joins = join("");
    change(&mut joins);
    let (error, name) = groups.join(GROUP, joins.clone()).unwrap_err();
    assert_eq!(error, MemberIdRequired);
    let answer = groups.join(GROUP, Join { member: name.clone(), ..joins }).unwrap();
    (name, answer)
}

fn come<T>(mut answer: Answer<T>) -> Result<T, ResponseError> {
    answer.try_recv().unwrap()
}

/// A group of two that have their shares. Returns their names, the leader first.
fn pair(groups: &mut Groups, change: impl Fn(&mut Join)) -> [String; 2] {
    let (leader, answer) = join_anew(groups, &change);
    assert_eq!(come(answer).unwrap().generation, 1, "alone it need not wait");
    let (follower, answer) = join_anew(groups, &change);
    let mut joined = answer;
    assert!(joined.try_recv().is_err(), "it waits for the other");
    assert_eq!(groups.heartbeat(GROUP, &leader, 1), Err(RebalanceInProgress));
    let again = come(groups.join(GROUP, Join { member: leader.clone(), ..changed(&change) }).unwrap()).unwrap();
    let joined = come(joined).unwrap();
    assert_eq!((again.generation, again.members.len()), (2, 2));
    assert_eq!((joined.generation, joined.members.len(), &joined.leader), (2, 0, &leader));

    let share = groups.sync(GROUP, &follower, 2, Vec::new()).unwrap();
    let shares = [(&leader, "one"), (&follower, "other")];
    let shares = shares.map(|(name, share)| (name.clone(), Bytes::from(share))).into();
    assert_eq!(come(groups.sync(GROUP, &leader, 2, shares).unwrap()).unwrap(), "one");
    assert_eq!(come(share).unwrap(), "other");
    assert_eq!(groups.describe(GROUP, false).state, "Stable");
    [leader, follower]
}

fn changed(change: impl Fn(&mut Join)) -> Join {
    let mut joins = join("");
    change(&mut joins);
    joins
}

#[test]
fn members_share_and_share_anew_when_one_leaves() {
    let mut groups = Groups::default();
    let [leader, follower] = pair(&mut groups, |_| {});
    assert_eq!(groups.check_commit(GROUP, &follower, 2), Ok(()));
    assert_eq!(groups.check_commit(GROUP, &follower, 1), Err(IllegalGeneration));
    assert_eq!(groups.check_commit(GROUP, "a stranger", -1), Err(UnknownMemberId));

    groups.leave(GROUP, &leader).unwrap();
    assert_eq!(groups.heartbeat(GROUP, &follower, 2), Err(RebalanceInProgress));
    let joined = come(groups.join(GROUP, join(&follower)).unwrap()).unwrap();
    assert_eq!((joined.generation, joined.leader), (3, follower.clone()));
    groups.leave(GROUP, &follower).unwrap();
    groups.sweep();
    assert_eq!((groups.describe(GROUP, false).state, groups.describe(GROUP, true).state), ("Dead", "Empty"));
    assert_eq!(groups.check_commit(GROUP, "", -1), Ok(()), "of a group without members, anybody may");
}

#[test]
fn a_follower_that_joins_again_unchanged_disturbs_nobody() {
    let mut groups = Groups::default();
    let [leader, follower] = pair(&mut groups, |_| {});
    let joined = come(groups.join(GROUP, join(&follower)).unwrap()).unwrap();
    assert_eq!(joined.generation, 2);
    assert_eq!(come(groups.sync(GROUP, &follower, 2, Vec::new()).unwrap()).unwrap(), "other");
    assert_eq!(groups.heartbeat(GROUP, &leader, 2), Ok(()));
}

#[test]
fn whoever_is_silent_for_its_session_has_left() {
    let mut groups = Groups::default();
    let [leader, follower] = pair(&mut groups, |join| join.session_timeout = Duration::ZERO);
    groups.sweep();
    for member in [leader, follower] {
        assert_eq!(groups.heartbeat(GROUP, &member, 2), Err(UnknownMemberId));
    }
}

#[test]
fn whoever_does_not_join_in_time_has_left_and_the_others_go_on() {
    let mut groups = Groups::default();
    let [leader, follower] = pair(&mut groups, |join| join.rebalance_timeout = Duration::ZERO);
    let (third, answer) = join_anew(&mut groups, |join| join.rebalance_timeout = Duration::ZERO);
    groups.sweep();
    let joined = come(answer).unwrap();
    assert_eq!((joined.generation, joined.leader), (3, third));
    for member in [leader, follower] {
        assert_eq!(groups.heartbeat(GROUP, &member, 2), Err(UnknownMemberId));
    }
}

#[test]
fn members_that_know_no_common_way_to_share_are_refused() {
    let mut groups = Groups::default();
    let (_, answer) = join_anew(&mut groups, |_| {});
    come(answer).unwrap();
    let strange = Join { protocols: vec![("strange".to_owned(), Bytes::new())], names_first: false, ..join("") };
    let (error, _) = groups.join(GROUP, strange).unwrap_err();
    assert_eq!(error, ResponseError::InconsistentGroupProtocol);
}

/// A group of two, of which the follower waits for its share and the leader has not divided yet. Returns their names, the
/// leader first, and what the follower waits for.
fn dividing(
    groups: &mut Groups,
    leads: impl Fn(&mut Join),
    follows: impl Fn(&mut Join),
) -> ([String; 2], Answer<Bytes>) {
    let [leader, follower] = pair(groups, |_| {});
    // A leader that joins again has something to divide.
    let leading = groups.join(GROUP, Join { member: leader.clone(), ..changed(leads) }).unwrap();
    come(groups.join(GROUP, Join { member: follower.clone(), ..changed(follows) }).unwrap()).unwrap();
    assert_eq!(come(leading).unwrap().generation, 3);
    let share = groups.sync(GROUP, &follower, 3, Vec::new()).unwrap();
    ([leader, follower], share)
}

#[test]
fn whoever_waits_for_its_share_is_not_taken_for_silent() {
    let mut groups = Groups::default();
    let short = |join: &mut Join| join.session_timeout = Duration::from_secs(6);
    let ([leader, follower], share) = dividing(&mut groups, |_| {}, short);
    groups.pass(Duration::from_secs(7));
    groups.sweep();
    let shares = vec![(follower.clone(), Bytes::from("all"))];
    come(groups.sync(GROUP, &leader, 3, shares).unwrap()).unwrap();
    groups.sweep();
    assert_eq!(come(share).unwrap(), "all");
    assert_eq!(groups.heartbeat(GROUP, &follower, 3), Ok(()));
}

#[test]
fn whoever_is_to_join_again_after_it_has_waited_has_its_whole_session_for_it() {
    let mut groups = Groups::default();
    let short = |join: &mut Join| join.session_timeout = Duration::from_secs(6);
    let ([leader, follower], share) = dividing(&mut groups, |_| {}, short);
    groups.pass(Duration::from_secs(7));
    groups.leave(GROUP, &leader).unwrap();
    groups.sweep();
    assert_eq!(come(share), Err(RebalanceInProgress));
    assert_eq!(come(groups.join(GROUP, join(&follower)).unwrap()).unwrap().generation, 4);
}

#[test]
fn a_leader_that_does_not_divide_in_time_has_left_and_the_others_go_on() {
    let mut groups = Groups::default();
    let in_time = |join: &mut Join| join.rebalance_timeout = Duration::ZERO;
    let ([leader, follower], share) = dividing(&mut groups, in_time, in_time);
    assert_eq!(groups.heartbeat(GROUP, &leader, 3), Ok(()));
    groups.sweep();
    assert_eq!(come(share), Err(RebalanceInProgress));
    assert_eq!(groups.heartbeat(GROUP, &leader, 3), Err(UnknownMemberId));
    let joined = come(groups.join(GROUP, join(&follower)).unwrap()).unwrap();
    assert_eq!((joined.generation, joined.leader), (4, follower));
}
