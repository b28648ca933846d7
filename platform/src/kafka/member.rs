//! A member of the consumer group, which leaves it within a bounded time. librdkafka waits for a broker that is gone as
//! long as a commit is under way, and nobody else can wait for that.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    consumer::{Consumer as _, StreamConsumer},
    error::KafkaResult,
};

use super::group::Group;

/// How long to wait until it has left.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// The member. Dropping it leaves the group, and blocks until then, but not longer than [`LEAVE_TIMEOUT`].
pub(super) struct Member {
    consumer: Arc<StreamConsumer<Group>>,
    // Dropped after the consumer.
    _leave: Leave,
}

impl Member {
    /// Joins the group that `config` names, to read `topic`.
    pub fn join(config: &ClientConfig, topic: &str, group: Group) -> KafkaResult<Self> {
        let consumer: StreamConsumer<Group> = config.create_with_context(group)?;
        consumer.subscribe(&[topic])?;
        let consumer = Arc::new(consumer);
        let leave = Leave::when_told(Arc::clone(&consumer));
        Ok(Self { consumer, _leave: leave })
    }
}

impl Deref for Member {
    type Target = StreamConsumer<Group>;

    fn deref(&self) -> &StreamConsumer<Group> {
        &self.consumer
    }
}

/// Lets a thread do the closing.
struct Leave {
    tell: Option<mpsc::Sender<()>>,
    // Behind a lock only to be shared, as all of the member is.
    left: Mutex<mpsc::Receiver<()>>,
}

impl Leave {
    fn when_told(consumer: Arc<StreamConsumer<Group>>) -> Self {
        let (tell, told) = mpsc::channel::<()>();
        let (leaving, left) = mpsc::channel::<()>();
        thread::spawn(move || {
            // Nothing is ever sent: the other end is dropped.
            let _ = told.recv();
            drop(consumer);
            drop(leaving);
        });
        Self { tell: Some(tell), left: Mutex::new(left) }
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.tell = None;
        let _ = self.left.get_mut().unwrap_or_else(PoisonError::into_inner).recv_timeout(LEAVE_TIMEOUT);
    }
}
