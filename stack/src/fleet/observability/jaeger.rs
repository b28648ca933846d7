//! Jaeger beside a local fleet: everything in one process, spans in memory, on the loopback interface alone.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use serde_json::json;

use crate::{fleet::Addresses, packages, ports};

/// How to get it, a sentence that follows what is missing.
pub(super) const INSTALL: &str =
    "get it from https://www.jaegertracing.io/download/ and put its program `jaeger` on the PATH";

/// How many traces are kept; the oldest make room.
const TRACES: u32 = 50_000;

/// By how much the times of spans may be shifted to fit into their parents'. An event is published after the call that
/// caused it was answered, and must be shown there.
const ONE_CLOCK: &str = "0s";

/// An installed Jaeger, which is configured in another way by each major version.
#[derive(Debug, Clone)]
pub(super) enum Jaeger {
    /// A configuration file.
    Two(PathBuf),
    /// Environment variables; one that a version does not know does no harm, as an option would.
    One(PathBuf),
}

impl Jaeger {
    pub fn find() -> Option<Self> {
        let two = packages::find("jaeger").map(Self::Two);
        two.or_else(|| packages::find("jaeger-all-in-one").map(Self::One))
    }

    /// Writes its configuration; answers the command.
    pub fn prepare(&self, addresses: &Addresses, directory: &Path) -> anyhow::Result<Command> {
        let interface = addresses.jaeger.context("the fleet has no Jaeger")?;
        let otlp = addresses.jaeger_otlp.context("the fleet has no Jaeger")?;
        match self {
            Self::Two(program) => {
                fs::create_dir_all(directory)
                    .with_context(|| format!("cannot make the directory {}", directory.display()))?;
                let file = directory.join("jaeger.yml");
                let text = serde_yaml::to_string(&config(interface, otlp))?;
                fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
                let mut command = Command::new(program);
                command.arg("--config").arg(file);
                Ok(command)
            }
            Self::One(program) => {
                let mut command = Command::new(program);
                command.envs(variables(interface, otlp));
                Ok(command)
            }
        }
    }
}

/// Ports that nobody asks for are whatever is free.
fn any() -> String {
    ports::loopback(0).to_string()
}

fn config(interface: SocketAddr, otlp: SocketAddr) -> serde_json::Value {
    json!({
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query"],
            "pipelines": {
                "traces": { "receivers": ["otlp"], "processors": ["batch"], "exporters": ["jaeger_storage_exporter"] },
            },
            "telemetry": { "metrics": { "level": "none" }, "logs": { "level": "warn" } },
        },
        "extensions": {
            "jaeger_storage": { "backends": { "memory": { "memory": { "max_traces": TRACES } } } },
            "jaeger_query": {
                "storage": { "traces": "memory" },
                "max_clock_skew_adjust": ONE_CLOCK,
                "http": { "endpoint": interface },
                "grpc": { "endpoint": any() },
            },
        },
        "receivers": { "otlp": { "protocols": { "grpc": { "endpoint": otlp } } } },
        "processors": { "batch": {} },
        "exporters": { "jaeger_storage_exporter": { "trace_storage": "memory" } },
    })
}

fn variables(interface: SocketAddr, otlp: SocketAddr) -> [(&'static str, String); 15] {
    [
        ("QUERY_HTTP_SERVER_HOST_PORT", interface.to_string()),
        ("COLLECTOR_OTLP_ENABLED", "true".to_owned()),
        ("COLLECTOR_OTLP_GRPC_HOST_PORT", otlp.to_string()),
        ("MEMORY_MAX_TRACES", TRACES.to_string()),
        ("QUERY_MAX_CLOCK_SKEW_ADJUSTMENT", ONE_CLOCK.to_owned()),
        ("LOG_LEVEL", "warn".to_owned()),
        ("QUERY_GRPC_SERVER_HOST_PORT", any()),
        ("COLLECTOR_OTLP_HTTP_HOST_PORT", any()),
        ("COLLECTOR_GRPC_SERVER_HOST_PORT", any()),
        ("COLLECTOR_HTTP_SERVER_HOST_PORT", any()),
        ("ADMIN_HTTP_HOST_PORT", any()),
        ("HTTP_SERVER_HOST_PORT", any()),
        ("PROCESSOR_JAEGER_COMPACT_SERVER_HOST_PORT", any()),
        ("PROCESSOR_JAEGER_BINARY_SERVER_HOST_PORT", any()),
        ("PROCESSOR_ZIPKIN_COMPACT_SERVER_HOST_PORT", any()),
    ]
}
