//! Who may connect to a port. Connections are bounded, in all and from one address. When there are too many, the one that
//! has waited longest without a request goes; if there is none, the new one is refused. Both are counted and told.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tokio_util::sync::CancellationToken;
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
    open: Mutex<Open>,
    /// By reason.
    refusals: [Repeated; Reason::ALL.len()],
}

#[derive(Debug, Default)]
struct Open {
    by_address: HashMap<IpAddr, usize>,
    /// Connections without a request, the oldest first.
    silent: BTreeMap<u64, (SocketAddr, CancellationToken)>,
    last_id: u64,
}

/// A connection that counts until it is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Arc<Admission>,
    id: u64,
    address: IpAddr,
    has_requested: AtomicBool,
    evicted: CancellationToken,
}

impl Admission {
    pub(super) fn new(port: &'static str, max: usize, max_per_address: usize) -> Arc<Self> {
        metrics::MAX_CONNECTIONS.with_label_values(&[port]).set(max.try_into().unwrap_or(i64::MAX));
        Arc::new(Self { port, max, max_per_address, open: Mutex::default(), refusals: Default::default() })
    }

    /// `None` if there are too many connections, and all have had a request.
    pub(super) fn admit(self: &Arc<Self>, peer: SocketAddr) -> Option<Admitted> {
        let address = address_of(peer);
        let mut open = self.lock();
        let reason = if open.by_address.get(&address).is_some_and(|count| *count >= self.max_per_address) {
            Some(Reason::AddressLimit)
        } else if open.by_address.values().sum::<usize>() >= self.max {
            Some(Reason::Limit)
        } else {
            None
        };
        if let Some(reason) = reason {
            let of_any = reason == Reason::Limit;
            let longest = open.silent.iter().find(|(_, (peer, _))| of_any || address_of(*peer) == address);
            let longest = longest.map(|(id, _)| *id).and_then(|id| open.silent.remove(&id));
            let refused = longest.as_ref().map_or(peer, |(peer, _)| *peer);
            self.refused(reason, Some(refused), "there are too many connections");
            longest?.1.cancel();
        }
        *open.by_address.entry(address).or_default() += 1;
        open.last_id += 1;
        let (id, evicted) = (open.last_id, CancellationToken::new());
        open.silent.insert(id, (peer, evicted.clone()));
        metrics::CONNECTIONS.with_label_values(&[self.port]).inc();
        Some(Admitted { admission: Arc::clone(self), id, address, has_requested: AtomicBool::new(false), evicted })
    }

    /// Counts a connection that is closed before its first request, and tells of it.
    pub(super) fn refused(&self, reason: Reason, peer: Option<SocketAddr>, error: &str) {
        metrics::count_refused(self.port, reason);
        if let Some(times) = self.refusals[reason as usize].occurred() {
            let peer = peer.map(tracing::field::display);
            warn!(port = self.port, reason = reason.name(), peer, error, times, "connection refused");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admitted {
    /// From its first request on, the connection does not have to go for another.
    pub(super) fn requested(&self) {
        if !self.has_requested.swap(true, Relaxed) {
            self.admission.lock().silent.remove(&self.id);
        }
    }

    pub(super) fn has_requested(&self) -> bool {
        self.has_requested.load(Relaxed)
    }

    /// Cancelled when the connection must go for another.
    pub(super) fn evicted(&self) -> CancellationToken {
        self.evicted.clone()
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        metrics::CONNECTIONS.with_label_values(&[self.admission.port]).dec();
        let mut open = self.admission.lock();
        open.silent.remove(&self.id);
        if let Some(count) = open.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}

/// An IPv4 address is the same whether the port is an IPv6 one or not.
fn address_of(peer: SocketAddr) -> IpAddr {
    peer.ip().to_canonical()
}
