//! Which connections still lead to a server that can serve us. After a failover a connection may live on and lead to a
//! server that only reads, and when the network fails, packets may go nowhere. When one such connection is found, those of
//! its age are closed instead of lent again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// While a server only reads, new connections lead to it as well. They are not opened anew more often than this.
const PAUSE: Duration = Duration::from_secs(1);

/// Trust in connections; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Trust(Arc<Mutex<Option<Instant>>>);

impl Trust {
    /// Ends the trust in all connections that are open now.
    pub(super) fn end(&self) {
        let mut ended_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ended_at.is_none_or(|at| at.elapsed() > PAUSE) {
            *ended_at = Some(Instant::now());
        }
    }

    /// Whether a connection of this age may be lent.
    pub(super) fn covers(&self, age: Duration) -> bool {
        let ended_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ended_at.is_none_or(|at| age < at.elapsed())
    }
}
