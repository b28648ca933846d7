//! What the broker makes of clients that are hasty, hostile or gone, of a full disk, and of files that it did not write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod client;

use std::{fs, path::Path, time::Duration};

use kafka_protocol::{
    ResponseError::KafkaStorageError,
    messages::{
        ApiKey, ApiVersionsRequest, DescribeGroupsRequest, FetchRequest, JoinGroupRequest, SyncGroupRequest,
        join_group_request::JoinGroupRequestProtocol, join_group_response::JoinGroupResponse,
    },
};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use stack::{
    process::{self, Process},
    testing::eventually,
};

use client::{Client, TOPIC, batch, commit, fresh, group, produce, spawn, start, start_after};

const SOON: Duration = Duration::from_secs(20);
/// Ask for the beginning of a log, and its latest record, instead of a time.
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;

/// Awaits that the log ends here.
async fn ends_at(client: &mut Client, offset: i64) {
    eventually("what was sent is there", async || (client.end_offset().await == offset).then_some(())).await;
}

#[tokio::test]
async fn a_request_that_claims_more_than_it_brings_ends_its_connection_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let (_broker, port) = start(directory.path()).await;
    let huge = i32::MAX.to_be_bytes();
    let requests: [(ApiKey, i16, Vec<u8>); 6] = [
        (ApiKey::Metadata, 1, huge.to_vec()),
        (ApiKey::CreateTopics, 2, huge.to_vec()),
        (ApiKey::JoinGroup, 0, [&[0, 0, 0, 0, 0, 9, 0, 0, 0, 0][..], &huge].concat()),
        (ApiKey::Produce, 3, [&[0xff, 0xff, 0, 1, 0, 0, 0, 9][..], &huge].concat()),
        (ApiKey::Fetch, 4, [&[0; 17][..], &huge].concat()),
        (ApiKey::Metadata, 12, vec![0xff, 0xff, 0xff, 0xff, 0x0f]),
    ];
    for (api, version, body) in requests {
        let mut client = Client::connect(port).await;
        client.send_body(api as i16, version, api.request_header_version(version), &body).await;
        client.end().await;
    }
    let offered = Client::connect(port).await.call(&ApiVersionsRequest::default(), 0).await;
    assert_eq!(offered.error_code, 0);
}

#[tokio::test]
async fn what_came_in_whole_is_done_though_its_client_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let (_broker, port) = start(directory.path()).await;
    let mut watching = Client::connect(port).await;
    watching.create(TOPIC, 1, &[]).await;
    for number in 0..50 {
        Client::connect(port).await.send(&produce(fresh(), number % 2), 3).await;
    }
    ends_at(&mut watching, 50).await;
    // Behind a request for which it would have waited, too.
    let mut hasty = Client::connect(port).await;
    hasty.send(&fetch_of_nothing(), 4).await;
    hasty.send(&produce(fresh(), 0), 3).await;
    drop(hasty);
    ends_at(&mut watching, 51).await;
}

fn fetch_of_nothing() -> FetchRequest {
    FetchRequest::default().with_max_wait_ms(600_000).with_min_bytes(1)
}

fn join(member: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default().with_name("range".into());
    JoinGroupRequest::default()
        .with_group_id(group())
        .with_member_id(member.to_owned().into())
        .with_session_timeout_ms(600_000)
        .with_rebalance_timeout_ms(600_000)
        .with_protocol_type("consumer".into())
        .with_protocols(vec![protocol])
}

async fn sync(client: &mut Client, joined: &JoinGroupResponse) -> i16 {
    let request = SyncGroupRequest::default().with_group_id(group()).with_member_id(joined.member_id.clone());
    client.call(&request.with_generation_id(joined.generation_id), 0).await.error_code
}

#[tokio::test]
async fn a_member_that_hangs_up_while_it_joins_gets_no_share() {
    let directory = tempfile::tempdir().unwrap();
    let (_broker, port) = start(directory.path()).await;
    let mut member = Client::connect(port).await;
    let joined = member.call(&join(""), 1).await;
    assert_eq!(sync(&mut member, &joined).await, 0);
    // It waits for the other, with a request more on its way.
    let mut other = Client::connect(port).await;
    other.send(&join(""), 1).await;
    other.send(&ApiVersionsRequest::default(), 0).await;
    eventually("it is to join again", async || (sync(&mut member, &joined).await != 0).then_some(())).await;
    drop(other);
    let described = DescribeGroupsRequest::default().with_groups(vec![group()]);
    eventually("the other has left", async || {
        (member.call(&described, 0).await.groups[0].members.len() <= 1).then_some(())
    })
    .await;
    let joined = member.call(&join(&joined.member_id), 1).await;
    assert_eq!((joined.error_code, joined.members.len()), (0, 1));
}

/// Limits how long the files of a broker may become. What is written beyond that fails, as on a full disk.
fn limit(broker: &Process, bytes: Option<u64>) {
    let limit = Rlimit { current: bytes, maximum: None };
    let id = Pid::from_raw(i32::try_from(broker.id()).unwrap());
    prlimit(id, Resource::Fsize, limit).unwrap();
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[tokio::test]
async fn a_disk_that_was_full_for_a_moment_costs_nothing_but_what_was_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (mut broker, port) = start_after("trap '' XFSZ", directory.path()).await;
    let mut client = Client::connect(port).await;
    client.create(TOPIC, 1, &[]).await;
    assert_eq!((client.produce(fresh()).await, client.commit(1).await), ((0, 0), 0));
    let (journal, log) = (directory.path().join("data/offsets"), directory.path().join("data/topics/greetings/0.log"));
    // Both are cut in the middle of what is written.
    limit(&broker, Some(length(&journal) + 20));
    assert_eq!(client.commit(2).await, KafkaStorageError.code());
    limit(&broker, Some(length(&log) + 80));
    assert_eq!(client.produce(fresh()).await.0, KafkaStorageError.code());
    limit(&broker, Some(0));
    assert_eq!(client.create("more", 1, &[]).await, KafkaStorageError.code());
    limit(&broker, None);
    assert_eq!(client.create("more", 1, &[]).await, 0);
    assert_eq!((client.produce(fresh()).await, client.commit(3).await), ((0, 1), 0));
    assert_eq!(client.commit(4).await, 0);

    broker.kill();
    let (_broker, port) = start(directory.path()).await;
    let mut client = Client::connect(port).await;
    assert_eq!((client.end_offset().await, client.committed().await), (2, 4));
}

#[tokio::test]
async fn the_cause_of_what_cannot_be_stored_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (_broker, port) = start(directory.path()).await;
    let mut client = Client::connect(port).await;
    client.create(TOPIC, 1, &[]).await;
    let topics = directory.path().join("data/topics");
    fs::rename(topics.join(TOPIC), topics.join("away")).unwrap();
    assert_eq!(client.produce(fresh()).await.0, KafkaStorageError.code());
    let told = fs::read_to_string(directory.path().join("log")).unwrap();
    assert!(told.contains("topics/greetings/0.log") && told.contains("No such file"), "{told}");
}

#[tokio::test]
async fn a_directory_that_a_broker_uses_is_not_opened_by_another() {
    let directory = tempfile::tempdir().unwrap();
    let (_broker, _) = start(directory.path()).await;
    let (mut second, _) = spawn(directory.path(), "");
    let status = eventually("the second ends", async || second.exited()).await;
    assert_eq!(process::describe(status), "exited with code 1");
    let told = fs::read_to_string(directory.path().join("log")).unwrap();
    assert!(told.contains("another broker uses it"), "{told}");
}

#[tokio::test]
async fn partitions_take_no_files_that_connections_need() {
    let directory = tempfile::tempdir().unwrap();
    let (mut broker, port) = start_after("ulimit -n 64", directory.path()).await;
    let mut client = Client::connect(port).await;
    assert_eq!(client.create(TOPIC, 1000, &[]).await, 0);
    assert_eq!(client.create("others", 1000, &[]).await, 0);
    // More clients than there may be: those that are there go on.
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(Client::connect(port).await);
    }
    assert_eq!(client.produce(fresh()).await, (0, 0));
    assert_eq!(client.create("more", 1, &[]).await, 0);
    broker.stop(Signal::TERM, SOON).await;

    let (_broker, port) = start_after("ulimit -n 64", directory.path()).await;
    assert_eq!(Client::connect(port).await.end_offset().await, 1);
}

#[tokio::test]
async fn what_was_committed_for_a_topic_is_not_committed_for_the_next_one_of_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let (mut broker, port) = start(directory.path()).await;
    let mut client = Client::connect(port).await;
    client.create(TOPIC, 1, &[]).await;
    assert_eq!((client.commit(7).await, client.committed().await), (0, 7));
    assert_eq!((client.delete(TOPIC).await, client.create(TOPIC, 1, &[]).await), (0, 0));
    assert_eq!(client.committed().await, -1);
    assert_eq!((client.commit(7).await, client.committed().await), (0, 7));
    broker.process().kill();
    // As a kill in the middle of a deletion leaves it.
    let topics = directory.path().join("data/topics");
    fs::rename(topics.join(TOPIC), topics.join("deleted 1")).unwrap();
    let (_broker, port) = start(directory.path()).await;
    let mut client = Client::connect(port).await;
    assert_eq!((client.create(TOPIC, 1, &[]).await, client.committed().await), (0, -1));
}

#[tokio::test]
async fn records_are_found_by_their_time_also_within_a_batch() {
    let directory = tempfile::tempdir().unwrap();
    let (_broker, port) = start(directory.path()).await;
    let mut client = Client::connect(port).await;
    client.create(TOPIC, 1, &[("retention.ms", "-1")]).await;
    client.produce(batch(&[1000, 1100, 1200])).await;
    client.produce(batch(&[1150])).await;
    for (time, found) in [(0, (0, 1000)), (1101, (2, 1200)), (1201, (-1, -1)), (MAX_TIMESTAMP, (2, 1200))] {
        assert_eq!(client.offset(time).await, found, "{time}");
    }
}

#[tokio::test]
async fn a_partition_does_not_grow_for_ever_and_keeps_what_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, port) = start(directory.path()).await;
    let mut client = Client::connect(port).await;
    let small = [("segment.bytes", "1"), ("retention.bytes", "1"), ("retention.ms", "-1")];
    assert_eq!(client.create(TOPIC, 1, &small).await, 0);
    for _ in 0..5 {
        client.produce(fresh()).await;
    }
    client.commit(3).await;
    // What is too much is looked for at the start, and then now and then.
    broker.stop().await;
    let (_broker, port) = start(directory.path()).await;
    let mut client = Client::connect(port).await;
    eventually("what was read is forgotten", async || (client.offset(EARLIEST).await.0 == 3).then_some(())).await;
    assert_eq!((client.end_offset().await, client.produce(fresh()).await), (5, (0, 5)));
    assert_eq!(client.call(&commit(9), 2).await.topics.len(), 1);
}
