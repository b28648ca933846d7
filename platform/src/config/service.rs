//! The sections that the configuration file of every service has.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue};

use super::{FromSection, FromText, HostPort, LogLevel, PostgresUrl, Quantity as _, Section, ServiceUrl};
use crate::section;

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// For what a caller waits for.
pub const WAITS: RangeInclusive<Duration> = MILLISECOND..=HOUR;

section! {
    /// The part of a configuration file that the platform needs.
    pub struct ServiceConfig {
        pub grpc: GrpcConfig = section(),
        /// Without this section, calls come over gRPC only.
        pub http: Option<HttpConfig> = optional_section(),
        pub admin: AdminConfig = section(),
        pub postgres: PostgresConfig = section(),
        pub log: LogConfig = section_or_defaults(),
        /// Without this section, spans stay in the process.
        pub jaeger: Option<JaegerConfig> = optional_section(),
        pub graylog: Option<GraylogConfig> = optional_section(),
        pub shutdown: ShutdownConfig = section_or_defaults(),
    }
}

section! {
    /// `grpc`: the port that callers use.
    pub struct GrpcConfig {
        pub listen: SocketAddr = required(),
        /// Without this section, the port speaks plaintext.
        pub tls: Option<ServerTlsConfig> = optional_section(),
        /// A call above this number is refused with RESOURCE_EXHAUSTED.
        pub max_concurrent_requests: u32 = within(Self::MAX_CONCURRENT_REQUESTS, 1..=100_000),
        /// The deadline of a call whose caller sets none.
        pub default_deadline: Duration = within(Self::DEFAULT_DEADLINE, WAITS),
        /// The deadline of a call whose caller sets a longer one.
        pub max_deadline: Duration = within(Self::MAX_DEADLINE, WAITS),
        pub connections: ConnectionsConfig = section_or_defaults(),
    }
    rule default_deadline_is_within_max;
}

impl GrpcConfig {
    const MAX_CONCURRENT_REQUESTS: u32 = 512;
    const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);
    const MAX_DEADLINE: Duration = Duration::from_secs(60);

    /// A port with the defaults of all other keys.
    pub fn new(listen: SocketAddr, tls: Option<ServerTlsConfig>) -> Self {
        Self {
            listen,
            tls,
            max_concurrent_requests: Self::MAX_CONCURRENT_REQUESTS,
            default_deadline: Self::DEFAULT_DEADLINE,
            max_deadline: Self::MAX_DEADLINE,
            connections: ConnectionsConfig::default(),
        }
    }
}

fn default_deadline_is_within_max(config: &GrpcConfig, section: &mut Section<'_>) {
    if config.default_deadline > config.max_deadline {
        section.reject("default_deadline", "must not be above max_deadline");
    }
}

section! {
    /// `http`: the port that answers the same calls as HTTP/JSON and gRPC-Web. What `grpc` says of TLS, places and deadlines
    /// holds here, too; connections are counted apart, within the same bounds.
    pub struct HttpConfig {
        pub listen: SocketAddr = required(),
        pub cors: CorsConfig = section_or_defaults(),
    }
}

section! {
    /// `http.cors`: which pages of browsers may call.
    #[derive(Default)]
    pub struct CorsConfig {
        /// As browsers send them: `https://shop.example`.
        pub allowed_origins: Vec<Origin> = list_or_empty(),
    }
}

/// The origin of a page: a scheme, a host, and a port if it is not the scheme's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(pub HeaderValue);

impl FromText for Origin {
    fn from_text(text: &str) -> Result<Self, String> {
        let url = reqwest::Url::parse(text).ok().filter(|url| url.origin().ascii_serialization() == text);
        let value = url.and_then(|_| HeaderValue::from_str(text).ok());
        value.map(Self).ok_or_else(|| "must be an origin, such as https://shop.example".to_owned())
    }
}

section! {
    /// `grpc.connections`: what one caller may take of the port, so that others have theirs.
    #[derive(PartialEq)]
    pub struct ConnectionsConfig {
        /// For one more, the connection that waits longest without a request is closed; if there is none, the new one. If
        /// the process may not open that many files, there are fewer.
        pub max: u32 = within(Self::MAX, 1..=1_000_000),
        /// The same for connections from one address.
        pub max_per_address: u32 = within(Self::MAX_PER_ADDRESS, 1..=1_000_000),
        /// A connection on which no request arrives for this long, from its beginning, is closed.
        pub first_request_timeout: Duration = within(Self::FIRST_REQUEST_TIMEOUT, MILLISECOND..=DAY),
        /// A connection on which nothing runs for this long after a request is closed.
        pub idle_timeout: Duration = within(Self::IDLE_TIMEOUT, MILLISECOND..=DAY),
    }
}

impl ConnectionsConfig {
    const MAX: u32 = 1024;
    const MAX_PER_ADDRESS: u32 = 256;
    const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
    const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
}

impl Default for ConnectionsConfig {
    fn default() -> Self {
        Self {
            max: Self::MAX,
            max_per_address: Self::MAX_PER_ADDRESS,
            first_request_timeout: Self::FIRST_REQUEST_TIMEOUT,
            idle_timeout: Self::IDLE_TIMEOUT,
        }
    }
}

section! {
    /// `grpc.tls`: PEM files. They are read again when they change.
    pub struct ServerTlsConfig {
        pub certificate: PathBuf = required(),
        pub key: PathBuf = required(),
        /// With this key, callers must show a certificate of this CA.
        pub client_ca: Option<PathBuf> = optional(),
    }
}

/// `client_tls`: PEM files for calls to other services. They are read again when they change.
#[derive(Debug, Clone)]
pub struct ClientTlsConfig {
    /// The CA of the servers.
    pub ca: PathBuf,
    /// `certificate` and `key`, for servers that ask for a certificate.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl FromSection for ClientTlsConfig {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        let ca = section.required("ca");
        let identity = identity(section);
        Some(Self { ca: ca?, identity: identity? })
    }
}

/// `certificate` and `key`, of which each needs the other.
pub(super) fn identity(section: &mut Section<'_>) -> Option<Option<(PathBuf, PathBuf)>> {
    let certificate: Option<Option<PathBuf>> = section.optional("certificate");
    let key = section.optional("key");
    match (certificate?, key?) {
        (Some(certificate), Some(key)) => Some(Some((certificate, key))),
        (None, None) => Some(None),
        (Some(_), None) => {
            section.reject("key", "is missing: a certificate needs its key");
            None
        }
        (None, Some(_)) => {
            section.reject("certificate", "is missing: a key needs its certificate");
            None
        }
    }
}

section! {
    /// `admin`: plain HTTP for operators.
    pub struct AdminConfig {
        pub listen: SocketAddr = required(),
    }
}

section! {
    /// `postgres`: the service's own database.
    pub struct PostgresConfig {
        pub connection_string: PostgresUrl = required(),
        /// A quarter of them is for background work, a quarter for calls that only read; the rest is for calls that
        /// write. One more watches whether Postgres answers.
        pub max_connections: u32 = within(Self::MAX_CONNECTIONS, Self::MIN_CONNECTIONS..=10_000),
        /// What `connection_string` leads to, if it is not Postgres itself.
        pub pooler: Option<Pooler> = optional(),
        /// The longest wait for a connection of the pool.
        pub acquire_timeout: Duration = within(Self::ACQUIRE_TIMEOUT, WAITS),
        /// How long what is over is kept; for ever if it is not said.
        pub retention: Option<Retention> = optional(),
    }
}

impl PostgresConfig {
    /// For calls that write, calls that read, and background work.
    pub const MIN_CONNECTIONS: u32 = 3;
    const MAX_CONNECTIONS: u32 = 16;
    const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

    pub(crate) fn from_url(connection_string: PostgresUrl) -> Self {
        Self {
            connection_string,
            max_connections: Self::MAX_CONNECTIONS,
            pooler: None,
            acquire_timeout: Self::ACQUIRE_TIMEOUT,
            retention: None,
        }
    }
}

/// For how long something is kept, from a day to ten years: keys are forgotten with what they name, and what is repeated
/// later than that happens again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention(pub Duration);

impl FromText for Retention {
    fn from_text(text: &str) -> Result<Self, String> {
        Duration::within(text, &(DAY..=3650 * DAY)).map(Self)
    }
}

/// A pooler between the service and Postgres, by how long it lends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooler {
    /// For a transaction, as PgBouncer does with `pool_mode = transaction`.
    Transaction,
}

impl FromText for Pooler {
    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "transaction" => Ok(Self::Transaction),
            _ => Err("must be transaction, or absent".into()),
        }
    }
}

section! {
    pub struct LogConfig {
        pub level: LogLevel = overridable("RUST_LOG", LogLevel::default()),
    }
}

section! {
    /// `jaeger`: an OTLP/gRPC collector such as Jaeger's.
    pub struct JaegerConfig {
        pub endpoint: ServiceUrl = required(),
        /// A PEM file with the CA of the collector, read again when it changes; without it, the system's CAs are trusted.
        pub ca: Option<PathBuf> = optional(),
        /// Sent with all spans: a token that the collector asks for.
        pub headers: Vec<(HeaderName, HeaderValue)> = map(),
        /// The share of traces that are kept, of those that begin here. For other traces, the caller decides.
        pub sampling_ratio: f64 = within(1.0, 0.0..=1.0),
    }
    rule ca_is_for_tls;
}

fn ca_is_for_tls(config: &JaegerConfig, section: &mut Section<'_>) {
    if config.ca.is_some() && !config.endpoint.is_tls() {
        section.reject("ca", "is for an endpoint that begins with https://");
    }
}

section! {
    /// `graylog`: a GELF TCP input of Graylog.
    pub struct GraylogConfig {
        pub address: HostPort = required(),
    }
}

section! {
    pub struct ShutdownConfig {
        /// The time that running calls and steps have after SIGTERM.
        pub grace_period: Duration = within(Duration::from_secs(7), Duration::ZERO..=HOUR),
    }
}
