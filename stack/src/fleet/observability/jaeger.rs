//! Runs Jaeger beside a local fleet: in one process, with spans in memory, on the loopback interface only.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use serde_json::json;

use crate::{fleet::Addresses, packages, ports};

/// The end of the message that Jaeger is missing.
pub(super) const INSTALL: &str =
    "get it from https://www.jaegertracing.io/download/ and put its program `jaeger` on the PATH";

/// If there are more traces, Jaeger drops the oldest.
const MAX_TRACES: u32 = 50_000;

/// Jaeger must not shift spans into the time of their parents. All processes have the same clock, and an event is
/// rightly shown after the call that caused it: it is published when the call is already answered.
const MAX_CLOCK_SKEW: &str = "0s";

/// The program. Each major version is configured in another way.
#[derive(Debug, Clone)]
pub(super) enum Jaeger {
    /// Has a configuration file.
    V2(PathBuf),
    /// Has environment variables. It ignores a variable that it does not know; an unknown option would be an error.
    V1(PathBuf),
}

impl Jaeger {
    pub fn find() -> Option<Self> {
        let v2 = packages::find("jaeger").map(Self::V2);
        v2.or_else(|| packages::find("jaeger-all-in-one").map(Self::V1))
    }

    /// Writes the configuration, and returns the command that runs Jaeger.
    pub fn prepare(&self, addresses: &Addresses, directory: &Path) -> anyhow::Result<Command> {
        let interface = addresses.jaeger.context("the fleet has no Jaeger")?;
        let otlp = addresses.jaeger_otlp.context("the fleet has no Jaeger")?;
        match self {
            Self::V2(program) => {
                fs::create_dir_all(directory)
                    .with_context(|| format!("cannot make the directory {}", directory.display()))?;
                let file = directory.join("jaeger.yml");
                let text = serde_yaml::to_string(&config(interface, otlp))?;
                fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
                let mut command = Command::new(program);
                command.arg("--config").arg(file);
                Ok(command)
            }
            Self::V1(program) => {
                let mut command = Command::new(program);
                command.envs(variables(interface, otlp));
                Ok(command)
            }
        }
    }
}

/// For the ports that nobody uses.
fn any_port() -> String {
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
            "jaeger_storage": { "backends": { "memory": { "memory": { "max_traces": MAX_TRACES } } } },
            "jaeger_query": {
                "storage": { "traces": "memory" },
                "max_clock_skew_adjust": MAX_CLOCK_SKEW,
                "http": { "endpoint": interface },
                "grpc": { "endpoint": any_port() },
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
        ("MEMORY_MAX_TRACES", MAX_TRACES.to_string()),
        ("QUERY_MAX_CLOCK_SKEW_ADJUSTMENT", MAX_CLOCK_SKEW.to_owned()),
        ("LOG_LEVEL", "warn".to_owned()),
        ("QUERY_GRPC_SERVER_HOST_PORT", any_port()),
        ("COLLECTOR_OTLP_HTTP_HOST_PORT", any_port()),
        ("COLLECTOR_GRPC_SERVER_HOST_PORT", any_port()),
        ("COLLECTOR_HTTP_SERVER_HOST_PORT", any_port()),
        ("ADMIN_HTTP_HOST_PORT", any_port()),
        ("HTTP_SERVER_HOST_PORT", any_port()),
        ("PROCESSOR_JAEGER_COMPACT_SERVER_HOST_PORT", any_port()),
        ("PROCESSOR_JAEGER_BINARY_SERVER_HOST_PORT", any_port()),
        ("PROCESSOR_ZIPKIN_COMPACT_SERVER_HOST_PORT", any_port()),
    ]
}
