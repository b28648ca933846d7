//! The sections that every service's file has.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{FromSection, HostPort, LogLevel, PostgresUrl, Section, ServiceUrl};
use crate::section;

section! {
    /// What the platform needs to run a service.
    pub struct ServiceConfig {
        pub grpc: GrpcConfig = section(),
        pub admin: AdminConfig = section(),
        pub postgres: PostgresConfig = section(),
        pub log: LogConfig = section_or_defaults(),
        /// `None` keeps traces in the process.
        pub jaeger: Option<JaegerConfig> = optional_section(),
        pub graylog: Option<GraylogConfig> = optional_section(),
        pub shutdown: ShutdownConfig = section_or_defaults(),
    }
}

section! {
    /// `grpc`: the port that callers use.
    pub struct GrpcConfig {
        pub listen: SocketAddr = required(),
        /// Without it the port is plaintext.
        pub tls: Option<ServerTlsConfig> = optional_section(),
        /// One more is answered RESOURCE_EXHAUSTED.
        pub max_concurrent_requests: u32 = positive(256),
        /// For callers that set none.
        pub default_deadline: Duration = positive(Duration::from_secs(5)),
    }
}

section! {
    /// `grpc.tls`: PEM files, read again when they change.
    pub struct ServerTlsConfig {
        pub certificate: PathBuf = required(),
        pub key: PathBuf = required(),
        /// Where set, callers must show a certificate of this CA.
        pub client_ca: Option<PathBuf> = optional(),
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
        /// Of the pool.
        pub max_connections: u32 = positive(Self::MAX_CONNECTIONS),
        /// How long a request waits for a connection of the pool.
        pub acquire_timeout: Duration = positive(Self::ACQUIRE_TIMEOUT),
    }
}

impl PostgresConfig {
    const MAX_CONNECTIONS: u32 = 20;
    const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

    /// The defaults of everything but the address.
    pub fn of_url(connection_string: PostgresUrl) -> Self {
        Self { connection_string, max_connections: Self::MAX_CONNECTIONS, acquire_timeout: Self::ACQUIRE_TIMEOUT }
    }
}

section! {
    /// `log`: what goes to standard output.
    pub struct LogConfig {
        /// `RUST_LOG` overrides it.
        pub level: LogLevel = default(LogLevel::default()),
    }
}

section! {
    /// `jaeger`: an OTLP/gRPC collector such as Jaeger's.
    pub struct JaegerConfig {
        pub endpoint: ServiceUrl = required(),
        /// Which part of the traces that begin here is kept. A trace that begins elsewhere is kept if it is there.
        pub sampling_ratio: f64 = within(1.0, 0.0..=1.0, "must be from 0 to 1"),
    }
}

section! {
    /// `graylog`: a GELF TCP input of Graylog.
    pub struct GraylogConfig {
        pub address: HostPort = required(),
    }
}

section! {
    /// `shutdown`: what happens after SIGTERM.
    pub struct ShutdownConfig {
        /// How long running calls may still take.
        pub grace_period: Duration = default(Duration::from_secs(7)),
    }
}
