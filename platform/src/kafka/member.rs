//! A member of the consumer group that leaves the group within a bounded time. librdkafka alone has no bound: while a
//! commit is under way, it waits until the broker comes back.

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

use super::group::GroupContext;

pub(super) const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Leaves the group when dropped. The drop blocks for up to [`LEAVE_TIMEOUT`].
pub(super) struct Member {
    consumer: Arc<StreamConsumer<GroupContext>>,
    // The order of the fields matters: only the closer may drop the last reference to the consumer, in its thread.
    _closer: Closer,
}

impl Member {
    pub fn join(config: &ClientConfig, topic: &str, group: GroupContext) -> KafkaResult<Self> {
        let consumer: StreamConsumer<GroupContext> = config.create_with_context(group)?;
        consumer.subscribe(&[topic])?;
        let consumer = Arc::new(consumer);
        let closer = Closer::start(Arc::clone(&consumer));
        Ok(Self { consumer, _closer: closer })
    }

    /// For a thread that may block. It must not keep this for longer than a moment.
    pub fn consumer(&self) -> Arc<StreamConsumer<GroupContext>> {
        Arc::clone(&self.consumer)
    }
}

impl Deref for Member {
    type Target = StreamConsumer<GroupContext>;

    fn deref(&self) -> &StreamConsumer<GroupContext> {
        &self.consumer
    }
}

/// Closes a consumer in a thread of its own. Both channels carry no message: dropping one end is the signal.
struct Closer {
    close: Option<mpsc::Sender<()>>,
    // A `Receiver` is not `Sync`, but a `Member` must be.
    closed: Mutex<mpsc::Receiver<()>>,
}

impl Closer {
    fn start(consumer: Arc<StreamConsumer<GroupContext>>) -> Self {
        let (close, close_signal) = mpsc::channel::<()>();
        let (closed_signal, closed) = mpsc::channel::<()>();
        thread::spawn(move || {
            let _ = close_signal.recv();
            drop(consumer);
            drop(closed_signal);
        });
        Self { close: Some(close), closed: Mutex::new(closed) }
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        self.close = None;
        let _ = self.closed.get_mut().unwrap_or_else(PoisonError::into_inner).recv_timeout(LEAVE_TIMEOUT);
    }
}
