//! What the broker makes of clients that are hasty, hostile or gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod client;

use std::{fs, time::Duration};

use kafka_protocol::{
    messages::{
        ApiKey, ApiVersionsRequest, DescribeGroupsRequest, FetchRequest, JoinGroupRequest, SyncGroupRequest,
        join_group_request::JoinGroupRequestProtocol, join_group_response::JoinGroupResponse,
    },
};
use stack::process;

use client::{Client, TOPIC, batch, group, produce, spawn, start};

const SOON: Duration = Duration::from_secs(20);

/// Awaits that the log ends here.
async fn ends_at(client: &mut Client, offset: i64) {
    let ends = async {
        while client.end_offset().await != offset {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, ends).await.expect("what was sent is there");
}

#[tokio::test]
async fn a_request_that_claims_more_than_it_brings_ends_its_connection_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let (_broker, port) = start(directory.path(), "").await;
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
    let (_broker, port) = start(directory.path(), "").await;
    let mut watching = Client::connect(port).await;
    watching.create(TOPIC, 1, &[]).await;
    for number in 0..50 {
        Client::connect(port).await.send(&produce(batch(&[1]), number % 2), 3).await;
    }
    ends_at(&mut watching, 50).await;
    // Behind a request for which it would have waited, too.
    let mut hasty = Client::connect(port).await;
    hasty.send(&fetch_of_nothing(), 4).await;
    hasty.send(&produce(batch(&[1]), 0), 3).await;
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
    let (_broker, port) = start(directory.path(), "").await;
    let mut member = Client::connect(port).await;
    let joined = member.call(&join(""), 1).await;
    assert_eq!(sync(&mut member, &joined).await, 0);
    // It waits for the other, with a request more on its way.
    let mut other = Client::connect(port).await;
    other.send(&join(""), 1).await;
    other.send(&ApiVersionsRequest::default(), 0).await;
    let rebalances = async { while sync(&mut member, &joined).await == 0 {} };
    tokio::time::timeout(SOON, rebalances).await.unwrap();
    drop(other);
    let described = DescribeGroupsRequest::default().with_groups(vec![group()]);
    let alone = async { while member.call(&described, 0).await.groups[0].members.len() > 1 {} };
    tokio::time::timeout(SOON, alone).await.expect("the other has left");
    let joined = member.call(&join(&joined.member_id), 1).await;
    assert_eq!((joined.error_code, joined.members.len()), (0, 1));
}

#[tokio::test]
async fn a_directory_that_a_broker_uses_is_not_opened_by_another() {
    let directory = tempfile::tempdir().unwrap();
    let (_broker, _) = start(directory.path(), "").await;
    let (mut second, _) = spawn(directory.path(), "");
    let ended = async {
        loop {
            if let Some(status) = second.exited() {
                break status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let status = tokio::time::timeout(SOON, ended).await.unwrap();
    assert_eq!(process::describe(status), "exited with code 1");
    let told = fs::read_to_string(directory.path().join("log")).unwrap();
    assert!(told.contains("another broker uses it"), "{told}");
}
