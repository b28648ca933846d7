//! A member of a group, as its group sees it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use tokio::sync::oneshot;

use super::{Joined, Protocols};

pub(super) type Waiting<T> = oneshot::Sender<Result<T, ResponseError>>;

#[derive(Debug)]
pub(super) struct Member {
    pub protocols: Protocols,
    pub session_timeout: Duration,
    pub rebalance_timeout: Duration,
    pub heard_at: Instant,
    pub share: Bytes,
    pub joining: Option<Waiting<Joined>>,
    pub syncing: Option<Waiting<Bytes>>,
}

impl Member {
    /// Whether it has not left without a word.
    pub fn is_here(&self, now: Instant) -> bool {
        fn waits<T>(waiting: Option<&Waiting<T>>) -> bool {
            waiting.is_some_and(|waiting| !waiting.is_closed())
        }
        // Who waits for others says nothing, unless it hangs up. Who does so while it joins does not come again with
        // its name.
        let is_heard = self.joining.is_none() && self.heard_at + self.session_timeout > now;
        is_heard || waits(self.joining.as_ref()) || waits(self.syncing.as_ref())
    }

    /// Tells of the generation, if the member waits for it.
    pub fn tell_joined(&mut self, joined: Joined) {
        if let Some(waiting) = self.joining.take() {
            self.tell(waiting, Ok(joined));
        }
    }

    /// Tells the share, or why there is none, if the member waits for it.
    pub fn tell_share(&mut self, share: Result<Bytes, ResponseError>) {
        if let Some(waiting) = self.syncing.take() {
            self.tell(waiting, share);
        }
    }

    fn tell<T>(&mut self, waiting: Waiting<T>, answer: Result<T, ResponseError>) {
        // From now on it is to speak again.
        self.heard_at = Instant::now();
        // Who asks may be gone.
        let _ = waiting.send(answer);
    }
}
