//! The broker: the topic that is read, and the one for what cannot be read.

pub mod consumer;
pub mod dead_letters;
pub mod group;
pub mod lag;
mod member;
pub mod record;
pub mod spans;

/// The name of the dependency in failures and logs.
pub const KAFKA: &str = "Kafka";
