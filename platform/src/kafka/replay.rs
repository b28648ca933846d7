//! Writes dead letters to the topic that they came from, as they were: a reader that can read them now does.

use futures::future::join_all;
use rdkafka::producer::FutureRecord;

use super::{
    PARTITIONER, Producer, Subscription, dead_letters,
    letter::{Letter, Origin},
    record::REPLAYED_FROM,
    send_span, with_header,
};
use crate::failure::Failure;

/// Why a letter is not in its topic again.
#[derive(Debug, thiserror::Error)]
pub enum NotReplayed {
    #[error("nobody says where it came from")]
    NoOrigin,
    #[error("it came from {0}, a topic that is not read here")]
    Foreign(Origin),
    #[error("it was too large for a letter: what it holds is only at {0}")]
    Stub(Origin),
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// Writes to the topic of a subscription.
pub struct Replay {
    producer: Producer,
    topic: String,
}

impl Replay {
    pub fn new(subscription: &Subscription) -> anyhow::Result<Self> {
        let Subscription { cluster, topic, .. } = subscription;
        let settings = [&dead_letters::SETTINGS[..], &[PARTITIONER, ("enable.idempotence", "true")]].concat();
        Ok(Self { producer: Producer::new(cluster, &settings)?, topic: topic.clone() })
    }

    /// Where a letter came from, if it can go there again.
    pub fn origin(&self, letter: &Letter) -> Result<Origin, NotReplayed> {
        match letter.origin().ok_or(NotReplayed::NoOrigin)? {
            origin if origin.topic != self.topic => Err(NotReplayed::Foreign(origin)),
            origin if letter.is_stub() => Err(NotReplayed::Stub(origin)),
            origin => Ok(origin),
        }
    }

    /// Writes letters again, in their order, and answers where each is now. It has its key and its headers of before, and
    /// the place where it was read first, which identifies an event that has no identity of its own.
    pub async fn replay(&self, letters: &[Letter]) -> Vec<Result<Origin, NotReplayed>> {
        // They are handed to the producer one after the other, which keeps their order.
        join_all(letters.iter().map(|letter| self.replay_one(letter))).await
    }

    async fn replay_one(&self, letter: &Letter) -> Result<Origin, NotReplayed> {
        let origin = self.origin(letter)?;
        let mut headers = letter.original_headers();
        if letter.headers().all(|(name, _)| name != REPLAYED_FROM) {
            headers = with_header(headers, REPLAYED_FROM, &origin.to_string());
        }
        let record = FutureRecord { key: letter.key(), payload: letter.payload(), ..FutureRecord::to(&self.topic) };
        let span = send_span(&self.topic, None);
        let place = self.producer.send(record.headers(headers), &span).await?;
        Ok(Origin { topic: origin.topic, place })
    }
}
