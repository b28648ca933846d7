//! What is old is forgotten: records, offsets of groups that nobody belongs to, producers that send nothing any more.

use std::sync::Arc;

use chrono::Utc;

use super::{Kafka, lock};

impl Kafka {
    /// To be called now and then.
    pub(super) fn tidy(&self) {
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
