//! Which requests are answered, in which versions, and who answers them.

use kafka_protocol::{
    ResponseError,
    messages::{ApiKey, ApiVersionsResponse, RequestKind, ResponseKind, api_versions_response::ApiVersion},
};

use super::Kafka;

/// The latest version of the request for the versions.
pub(super) const API_VERSIONS: i16 = 3;

/// The requests that are answered, with their oldest and latest versions. In later ones of groups' requests, a member
/// may bring a name of its own, by which it keeps its share while it is away. This broker knows no such names.
pub(super) const OFFERED: [(ApiKey, i16, i16); 19] = [
    (ApiKey::Produce, 3, 9),
    (ApiKey::Fetch, 4, 12),
    (ApiKey::ListOffsets, 1, 7),
    (ApiKey::Metadata, 1, 12),
    (ApiKey::OffsetCommit, 2, 6),
    (ApiKey::OffsetFetch, 1, 7),
    (ApiKey::FindCoordinator, 0, 2),
    (ApiKey::JoinGroup, 0, 4),
    (ApiKey::Heartbeat, 0, 2),
    (ApiKey::LeaveGroup, 0, 1),
    (ApiKey::SyncGroup, 0, 2),
    (ApiKey::DescribeGroups, 0, 2),
    (ApiKey::ListGroups, 0, 2),
    (ApiKey::ApiVersions, 0, API_VERSIONS),
    (ApiKey::CreateTopics, 2, 4),
    (ApiKey::DeleteTopics, 1, 3),
    (ApiKey::InitProducerId, 0, 4),
    (ApiKey::OffsetForLeaderEpoch, 2, 4),
    (ApiKey::DescribeConfigs, 1, 3),
];

pub(super) fn offers(api: ApiKey, version: i16) -> bool {
    OFFERED.iter().any(|(offered, oldest, latest)| *offered == api && (*oldest..=*latest).contains(&version))
}

fn api_versions() -> ApiVersionsResponse {
    let versions = OFFERED.map(|(api, oldest, latest)| {
        ApiVersion::default().with_api_key(api as i16).with_min_version(oldest).with_max_version(latest)
    });
    ApiVersionsResponse::default().with_api_keys(versions.into())
}

/// To who asks in a version that is not offered.
pub(super) fn unsupported_api_versions() -> ResponseKind {
    api_versions().with_error_code(ResponseError::UnsupportedVersion.code()).into()
}

impl Kafka {
    /// `None` for a request that wants no answer.
    #[allow(clippy::wildcard_enum_match_arm, reason = "what is not offered was refused before it was read")]
    pub(super) async fn handle(&self, request: RequestKind, version: i16) -> Option<ResponseKind> {
        let answer = match request {
            RequestKind::Produce(request) => return self.produce(request).map(Into::into),
            RequestKind::Fetch(request) => self.fetch(request).await.into(),
            RequestKind::ListOffsets(request) => self.list_offsets(request, version).into(),
            RequestKind::OffsetForLeaderEpoch(request) => self.ends_of_epochs(request).into(),
            RequestKind::Metadata(request) => self.metadata(request, version).into(),
            RequestKind::OffsetCommit(request) => self.commit_offsets(request).into(),
            RequestKind::OffsetFetch(request) => self.committed_offsets(request).into(),
            RequestKind::FindCoordinator(_) => self.coordinator().into(),
            RequestKind::JoinGroup(request) => self.join_group(request, version).await.into(),
            RequestKind::SyncGroup(request) => self.sync_group(request).await.into(),
            RequestKind::Heartbeat(request) => self.heartbeat(request).into(),
            RequestKind::LeaveGroup(request) => self.leave_group(request).into(),
            RequestKind::DescribeGroups(request) => self.describe_groups(request).into(),
            RequestKind::ListGroups(_) => self.list_groups().into(),
            RequestKind::ApiVersions(_) => api_versions().into(),
            RequestKind::CreateTopics(request) => self.create_topics(request).into(),
            RequestKind::DeleteTopics(request) => self.delete_topics(request).into(),
            RequestKind::InitProducerId(request) => self.init_producer(request).into(),
            RequestKind::DescribeConfigs(request) => self.describe_configs(request).into(),
            _ => return None,
        };
        Some(answer)
    }
}
