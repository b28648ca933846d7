//! What is old is forgotten: records, offsets of groups that nobody belongs to, producers that send nothing any more.

use std::{convert::Infallible, sync::Arc, time::Duration};

use chrono::Utc;
use tokio::{task::spawn_blocking, time::sleep};
use tracing::warn;

use super::{Kafka, lock};

/// How often what is old is looked for.
const PAUSE: Duration = Duration::from_secs(60);

impl Kafka {
    /// Forgets what is old, now and then, until the future is dropped. Files are slow, and nobody waits for them here.
    pub(super) async fn stay_tidy(&self) -> Infallible {
        loop {
            let kafka = self.clone();
            if let Err(error) = spawn_blocking(move || kafka.tidy()).await {
                warn!(%error, "cannot forget what is old");
            }
            sleep(PAUSE).await;
        }
    }

    fn tidy(&self) {
        let groups = lock(&self.0.groups).with_members();
        lock(&self.0.offsets).forget_the_unused(&groups);
        let (unread, now) = (self.unread(), Utc::now().timestamp_millis());
        let topics: Vec<_> =
            lock(&self.0.topics).all().map(|(name, topic)| (name.clone(), Arc::clone(topic))).collect();
        for (name, topic) in topics {
            for number in topic.partitions() {
                // It may have been deleted meanwhile.
                let Ok(mut log) = topic.partition(number) else { break };
                log.tidy(now, &topic.description.settings, unread.get(&(name.clone(), number)).copied());
            }
        }
    }
}
