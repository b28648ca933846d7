//! The Kafka-protocol broker. A consumer reads a topic as a member of a consumer group and loses no record; records
//! that it cannot read become dead letters. A producer writes records with their traces.

mod backlog;
mod batch;
mod cluster;
mod consume;
mod consumer;
mod dead_letters;
mod group;
mod lag;
mod letter;
mod letters;
mod member;
mod metrics;
mod outages;
mod pause;
mod producer;
mod quiet;
pub mod record;
mod replay;
mod shares;
mod spans;
pub mod topics;

pub use batch::Arrival;
pub use cluster::{Cluster, client};
pub use consume::{Consume, Reader, Refused, Subscription};
pub use lag::Lag;
pub use letter::{Letter, Origin};
pub use letters::{Letters, NotThere, Place};
/// Shows the metrics of a consumer at zero. A service that has one calls this before it starts.
pub use metrics::declare as declare_metrics;
pub use pause::Pause;
pub use producer::{PARTITIONER, Producer, with_header};
pub use quiet::Quiet;
pub use replay::{NotReplayed, Replay};
pub use spans::send as send_span;

const KAFKA: &str = "Kafka";
