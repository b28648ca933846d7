//! Connections of callers and operators.

use prometheus::{IntCounter, IntGauge, IntGaugeVec};

use super::Counters;
use crate::metrics;

/// The ports of a service.
const PORTS: [&str; 3] = ["admin", "grpc", "http"];

metrics! {
    /// Open connections, by port.
    pub(crate) CONNECTIONS: IntGaugeVec = gauges("server_connections", &["port"]);
    /// The most connections that may be open, by port.
    pub(crate) MAX_CONNECTIONS: IntGaugeVec = gauges("server_connections_max", &["port"]);
    /// Connections that were closed before their first request, by port and reason.
    REFUSED: Counters<2> = counters("server_connections_refused_total", ["port", "reason"], pairs());
    /// Bytes of large answers that their callers have not taken yet.
    pub(crate) UNREAD_BYTES: IntGauge = gauge("grpc_server_unread_bytes");
    /// Answers that their callers had not taken by the deadline of the call.
    pub(crate) UNTAKEN: IntCounter = counter("grpc_server_untaken_answers_total");
}

/// Why a connection was closed before its first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// There were as many connections as the port may have.
    Limit,
    /// There were as many connections as one address may have.
    AddressLimit,
    /// The TLS handshake failed or took too long.
    Handshake,
    /// No request came.
    Silence,
    /// The system had no resources for it, such as file descriptors.
    Resources,
}

impl Reason {
    pub(crate) const ALL: [Self; 5] =
        [Self::Limit, Self::AddressLimit, Self::Handshake, Self::Silence, Self::Resources];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::AddressLimit => "address_limit",
            Self::Handshake => "handshake",
            Self::Silence => "silence",
            Self::Resources => "resources",
        }
    }
}

fn pairs() -> Vec<[&'static str; 2]> {
    PORTS.iter().flat_map(|port| Reason::ALL.map(|reason| [*port, reason.name()])).collect()
}

pub(super) fn declare_all() {
    declare();
    for port in PORTS {
        CONNECTIONS.with_label_values(&[port]);
        MAX_CONNECTIONS.with_label_values(&[port]);
    }
}

pub(crate) fn count_refused(port: &str, reason: Reason) {
    REFUSED.with([port, reason.name()]).inc();
}
