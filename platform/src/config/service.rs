//! The sections that every service's file has.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use secrecy::SecretString;

use super::{FromSection, HostPort, LogLevel, PostgresUrl, Section, ServiceUrl};

/// What the platform needs to run a service.
#[derive(Debug, Clone)]
pub struct ServiceConfig {
    /// The public port.
    pub grpc: GrpcConfig,
    /// The operators' port.
    pub admin: AdminConfig,
    /// The database.
    pub postgres: PostgresConfig,
    /// What is logged.
    pub log: LogConfig,
    /// Where traces go; `None` keeps them in the process.
    pub jaeger: Option<JaegerConfig>,
    /// Where log messages go besides standard output.
    pub graylog: Option<GraylogConfig>,
    /// How the service stops.
    pub shutdown: ShutdownConfig,
}

impl FromSection for ServiceConfig {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        let grpc = section.section("grpc");
        let admin = section.section("admin");
        let postgres = section.section("postgres");
        let log = section.section_or_defaults("log");
        let jaeger = section.optional_section("jaeger");
        let graylog = section.optional_section("graylog");
        let shutdown = section.section_or_defaults("shutdown");
        Some(Self {
            grpc: grpc?,
            admin: admin?,
            postgres: postgres?,
            log: log?,
            jaeger: jaeger?,
            graylog: graylog?,
            shutdown: shutdown?,
        })
    }
}

/// `grpc`: the port that callers use.
#[derive(Debug, Clone)]
pub struct GrpcConfig {
    /// `listen`
    pub listen: SocketAddr,
    /// `tls`; without it the port is plaintext.
    pub tls: Option<ServerTlsConfig>,
    /// `max_concurrent_requests`: one more is answered RESOURCE_EXHAUSTED.
    pub max_concurrent_requests: u32,
    /// `default_deadline`: for callers that set none.
    pub default_deadline: Duration,
}

impl FromSection for GrpcConfig {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        let listen = section.required("listen");
        let tls = section.optional_section("tls");
        let max_concurrent_requests = section.with_default("max_concurrent_requests", 256);
        let default_deadline = section.timeout("default_deadline", Duration::from_secs(5));
        if max_concurrent_requests == Some(0) {
            section.reject("max_concurrent_requests", "must be above 0");
        }
        Some(Self {
            listen: listen?,
            tls: tls?,
            max_concurrent_requests: max_concurrent_requests?,
            default_deadline: default_deadline?,
        })
    }
}

/// `grpc.tls`: PEM files, read again when they change.
#[derive(Debug, Clone)]
pub struct ServerTlsConfig {
    /// `certificate`: the server's chain.
    pub certificate: PathBuf,
    /// `key`: its private key.
    pub key: PathBuf,
    /// `client_ca`: where set, callers must show a certificate of this CA.
    pub client_ca: Option<PathBuf>,
}

impl FromSection for ServerTlsConfig {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        let certificate = section.required("certificate");
        let key = section.required("key");
        let client_ca = section.optional("client_ca");
        Some(Self { certificate: certificate?, key: key?, client_ca: client_ca? })
    }
}

/// `client_tls`: PEM files for calls to other services, read again when they change.
#[derive(Debug, Clone)]
pub struct ClientTlsConfig {
    /// `ca`: whom to trust.
    pub ca: PathBuf,
    /// `certificate` and `key`: who we are, for servers that ask.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl FromSection for ClientTlsConfig {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        let ca = section.required("ca");
        let certificate: Option<Option<PathBuf>> = section.optional("certificate");
        let key = section.optional("key");
        let identity = match (certificate?, key?) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => {
                section.reject("key", "is missing: a certificate needs its key");
                return None;
            }
            (None, Some(_)) => {
                section.reject("certificate", "is missing: a key needs its certificate");
                return None;
            }
        };
        Some(Self { ca: ca?, identity })
    }
}

/// `admin`: plain HTTP for operators.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    /// `listen`
    pub listen: SocketAddr,
}

impl FromSection for AdminConfig {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        section.required("listen").map(|listen| Self { listen })
    }
}

/// `postgres`: the service's own database.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    /// `connection_string`: `postgres://user:password@host:port/database`.
    pub connection_string: SecretString,
    /// `max_connections` of the pool.
    pub max_connections: u32,
    /// `acquire_timeout`: how long a request waits for a connection of the pool.
    pub acquire_timeout: Duration,
}

impl PostgresConfig {
    /// The defaults of everything but the address.
    pub fn of_url(connection_string: SecretString) -> Self {
        Self { connection_string, max_connections: 20, acquire_timeout: Duration::from_secs(2) }
    }
}

impl FromSection for PostgresConfig {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        let defaults = Self::of_url(SecretString::default());
        let connection_string: Option<PostgresUrl> = section.required("connection_string");
        let max_connections = section.with_default("max_connections", defaults.max_connections);
        let acquire_timeout = section.timeout("acquire_timeout", defaults.acquire_timeout);
        if max_connections == Some(0) {
            section.reject("max_connections", "must be above 0");
        }
        Some(Self {
            connection_string: connection_string?.into(),
            max_connections: max_connections?,
            acquire_timeout: acquire_timeout?,
        })
    }
}

/// `log`: what goes to standard output.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// `level`: a level, or directives as in `RUST_LOG`, which overrides it.
    pub level: String,
}

impl FromSection for LogConfig {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        let level: Option<LogLevel> = section.optional("level")?;
        Some(Self { level: level.map_or_else(|| "info".to_owned(), String::from) })
    }
}

/// `jaeger`: an OTLP/gRPC collector such as Jaeger's.
#[derive(Debug, Clone)]
pub struct JaegerConfig {
    /// `endpoint`: such as `http://localhost:4317`.
    pub endpoint: String,
    /// `sampling_ratio`: which part of the traces that begin here is kept, from 0 to 1. A trace that begins elsewhere is
    /// kept if it is there.
    pub sampling_ratio: f64,
}

impl FromSection for JaegerConfig {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        let endpoint: Option<ServiceUrl> = section.required("endpoint");
        let sampling_ratio = section.with_default("sampling_ratio", 1.0);
        if sampling_ratio.is_some_and(|ratio| !(0.0..=1.0).contains(&ratio)) {
            section.reject("sampling_ratio", "must be from 0 to 1");
        }
        let endpoint = endpoint?.uri().to_string().trim_end_matches('/').to_owned();
        Some(Self { endpoint, sampling_ratio: sampling_ratio? })
    }
}

/// `graylog`: a GELF TCP input of Graylog.
#[derive(Debug, Clone)]
pub struct GraylogConfig {
    /// `address`: such as `localhost:12201`.
    pub address: String,
}

impl FromSection for GraylogConfig {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        let address: HostPort = section.required("address")?;
        Some(Self { address: address.into() })
    }
}

/// `shutdown`: what happens after SIGTERM.
#[derive(Debug, Clone)]
pub struct ShutdownConfig {
    /// `grace_period`: how long running calls may still take.
    pub grace_period: Duration,
}

impl FromSection for ShutdownConfig {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        section.with_default("grace_period", Duration::from_secs(7)).map(|grace_period| Self { grace_period })
    }
}
