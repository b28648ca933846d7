//! Who may connect to a port: connections are bounded, in all and from one address, and what is turned away is counted
//! and told.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use tracing::warn;

use crate::{
    metrics::net::{self as metrics, Reason},
    telemetry::repeated::Repeated,
};

/// The connections of a port.
#[derive(Debug)]
pub(super) struct Admission {
    port: &'static str,
    max: usize,
    max_per_address: usize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    /// By reason.
    refusals: [Repeated; Reason::ALL.len()],
}

/// A connection that counts until it is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Arc<Admission>,
    address: IpAddr,
}

impl Admission {
    pub(super) fn new(port: &'static str, max: usize, max_per_address: usize) -> Arc<Self> {
        Arc::new(Self { port, max, max_per_address, by_address: Mutex::default(), refusals: Default::default() })
    }

    /// `None` if there are too many connections.
    pub(super) fn admit(self: &Arc<Self>, peer: SocketAddr) -> Option<Admitted> {
        let address = peer.ip().to_canonical();
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = by_address.get(&address).copied().unwrap_or_default();
        let reason = if by_address.values().sum::<usize>() >= self.max {
            Reason::Limit
        } else if of_address >= self.max_per_address {
            Reason::AddressLimit
        } else {
            by_address.insert(address, of_address + 1);
            metrics::CONNECTIONS.with_label_values(&[self.port]).inc();
            return Some(Admitted { admission: Arc::clone(self), address });
        };
        drop(by_address);
        self.refused(reason, Some(peer), "there are too many connections");
        None
    }

    /// Counts a connection that is closed before its first request, and tells of it.
    pub(super) fn refused(&self, reason: Reason, peer: Option<SocketAddr>, error: &str) {
        metrics::count_refused(self.port, reason);
        if let Some(times) = self.refusals[reason as usize].occurred() {
            let peer = peer.map(tracing::field::display);
            warn!(port = self.port, reason = reason.name(), peer, error, times, "connection refused");
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        metrics::CONNECTIONS.with_label_values(&[self.admission.port]).dec();
        let mut by_address = self.admission.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}
