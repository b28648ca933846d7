//! A plain client of the broker, which can say what no library would.

use std::{path::Path, process::Command};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use chrono::Utc;
use kafka_protocol::{
    messages::{
        CreateTopicsRequest, DeleteTopicsRequest, GroupId, ListOffsetsRequest, OffsetCommitRequest, OffsetFetchRequest,
        ProduceRequest, RequestHeader, ResponseHeader, TopicName,
        create_topics_request::{CreatableTopic, CreatableTopicConfig},
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
        offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
        offset_fetch_request::OffsetFetchRequestTopic,
        produce_request::{PartitionProduceData, TopicProduceData},
    },
    protocol::{Decodable as _, Encodable as _, HeaderVersion, Request},
    records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType},
};
use stack::{binaries, broker::Broker, ports, process::Process, testing::eventually};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::SOON;

pub const TOPIC: &str = "greetings";
pub const GROUP: &str = "readers";

/// Starts a broker on a directory.
pub async fn start(directory: &Path) -> (Broker, u16) {
    let port = ports::free().unwrap();
    (Broker::start(port, &directory.join("data"), &directory.join("log")).await.unwrap(), port)
}

/// Starts a broker on a directory, after a line of shell.
pub async fn start_after(before: &str, directory: &Path) -> (Process, u16) {
    let (process, port) = spawn(directory, before);
    eventually("the broker answers", async || TcpStream::connect(ports::loopback(port)).await.ok()).await;
    (process, port)
}

pub fn spawn(directory: &Path, before: &str) -> (Process, u16) {
    let port = ports::free().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{before}\nexec \"$@\""), "sh"]).arg(binaries::find("stack").unwrap());
    command.args(["broker", "--listen", &ports::loopback(port).to_string(), "--data"]).arg(directory.join("data"));
    (Process::spawn("broker", command, &directory.join("log")).unwrap(), port)
}

pub struct Client {
    pub stream: TcpStream,
}

impl Client {
    pub async fn connect(port: u16) -> Self {
        Self { stream: TcpStream::connect(ports::loopback(port)).await.unwrap() }
    }

    pub async fn send<R: Request>(&mut self, request: &R, version: i16) {
        let mut body = BytesMut::new();
        request.encode(&mut body, version).unwrap();
        self.send_body(R::KEY, version, R::header_version(version), &body).await;
    }

    pub async fn send_body(&mut self, key: i16, version: i16, header_version: i16, body: &[u8]) {
        let header = RequestHeader::default().with_request_api_key(key).with_request_api_version(version);
        let mut bytes = BytesMut::new();
        header.with_correlation_id(7).encode(&mut bytes, header_version).unwrap();
        bytes.put_slice(body);
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        self.stream.write_all(&[&length[..], &bytes].concat()).await.unwrap();
    }

    pub async fn receive<R: Request>(&mut self, version: i16) -> R::Response {
        let length = timeout(SOON, self.stream.read_u32()).await.unwrap().unwrap();
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut bytes).await.unwrap();
        let mut bytes = Bytes::from(bytes);
        ResponseHeader::decode(&mut bytes, R::Response::header_version(version)).unwrap();
        let answer = R::Response::decode(&mut bytes, version).unwrap();
        assert!(!bytes.has_remaining());
        answer
    }

    pub async fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        self.send(request, version).await;
        self.receive::<R>(version).await
    }

    /// Waits until the broker ends the connection.
    pub async fn end(mut self) {
        let read = timeout(SOON, self.stream.read(&mut [0])).await.unwrap();
        assert!(matches!(read, Ok(0) | Err(_)), "it goes on");
    }

    pub async fn create(&mut self, name: &str, partitions: i32, settings: &[(&'static str, &'static str)]) -> i16 {
        let settings = settings.iter().map(|(name, value)| {
            CreatableTopicConfig::default().with_name((*name).into()).with_value(Some((*value).into()))
        });
        let topic = CreatableTopic::default().with_name(topic(name)).with_num_partitions(partitions);
        let topic = topic.with_replication_factor(1).with_configs(settings.collect());
        self.call(&CreateTopicsRequest::default().with_topics(vec![topic]), 2).await.topics[0].error_code
    }

    pub async fn delete(&mut self, name: &str) -> i16 {
        let request = DeleteTopicsRequest::default().with_topic_names(vec![topic(name)]);
        self.call(&request, 1).await.responses[0].error_code
    }

    /// Returns an error's code, and an offset.
    pub async fn produce(&mut self, batch: Bytes) -> (i16, i64) {
        let answer = self.call(&produce(batch, -1), 3).await;
        let answer = &answer.responses[0].partition_responses[0];
        (answer.error_code, answer.base_offset)
    }

    /// The offset that is asked for by a time, or what stands for one.
    pub async fn offset(&mut self, time: i64) -> (i64, i64) {
        let partition = ListOffsetsPartition::default().with_timestamp(time);
        let wanted = ListOffsetsTopic::default().with_name(topic(TOPIC)).with_partitions(vec![partition]);
        let answer = self.call(&ListOffsetsRequest::default().with_topics(vec![wanted]), 7).await;
        let answer = &answer.topics[0].partitions[0];
        assert_eq!(answer.error_code, 0);
        (answer.offset, answer.timestamp)
    }

    pub async fn end_offset(&mut self) -> i64 {
        self.offset(-1).await.0
    }

    pub async fn commit(&mut self, offset: i64) -> i16 {
        self.call(&commit(offset), 2).await.topics[0].partitions[0].error_code
    }

    pub async fn committed(&mut self) -> i64 {
        let wanted = OffsetFetchRequestTopic::default().with_name(topic(TOPIC)).with_partition_indexes(vec![0]);
        let request = OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![wanted]));
        self.call(&request, 1).await.topics[0].partitions[0].committed_offset
    }
}

pub fn topic(name: &str) -> TopicName {
    TopicName(name.to_owned().into())
}

pub fn group() -> GroupId {
    GroupId(GROUP.into())
}

pub fn commit(offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
    let partition = partition.with_committed_metadata(Some("".into()));
    let wanted = OffsetCommitRequestTopic::default().with_name(topic(TOPIC)).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default().with_group_id(group()).with_generation_id_or_member_epoch(-1);
    request.with_topics(vec![wanted])
}

pub fn produce(batch: Bytes, acks: i16) -> ProduceRequest {
    let data = PartitionProduceData::default().with_records(Some(batch));
    let data = TopicProduceData::default().with_name(topic(TOPIC)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(acks).with_timeout_ms(1000).with_topic_data(vec![data])
}

/// A record of this moment: one that is old may be forgotten at any time.
pub fn fresh() -> Bytes {
    batch(&[Utc::now().timestamp_millis()])
}

/// A batch of records that were made at these times.
pub fn batch(times: &[i64]) -> Bytes {
    let record = |(number, timestamp): (usize, &i64)| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: i64::try_from(number).unwrap(),
        sequence: i32::try_from(number).unwrap() - 1,
        timestamp: *timestamp,
        key: None,
        value: Some(Bytes::from(vec![b'x'; 100])),
        headers: Default::default(),
    };
    let records: Vec<_> = times.iter().enumerate().map(record).collect();
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
    bytes.freeze()
}
