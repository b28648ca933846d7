//! Logs and traces of the process: spans carry a trace id that travels between services as W3C `traceparent`, log
//! lines show it, and spans are exported by OTLP where that is configured.

use std::{io::IsTerminal as _, time::Duration};

use anyhow::Context as _;
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing_subscriber::{
    EnvFilter, Layer as _, fmt::format::JsonFields, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::config::service::{JaegerConfig, LogConfig};

mod json;
pub mod trace;

/// How long the last spans may take to leave when the process ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// What must be flushed at the end of the process.
#[must_use = "spans are lost unless it is shut down at the end"]
pub struct Telemetry {
    provider: SdkTracerProvider,
}

impl Telemetry {
    /// Sets up logging and tracing; once in a process, inside a Tokio runtime.
    ///
    /// Log lines are JSON, or text for people where standard output is a terminal. `RUST_LOG` overrides the
    /// configured level.
    pub fn install(service: &'static str, log: &LogConfig, jaeger: Option<&JaegerConfig>) -> anyhow::Result<Self> {
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        let provider = tracer_provider(service, jaeger)?;
        let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("fleet"));
        let filter = match std::env::var("RUST_LOG") {
            Ok(directives) if !directives.is_empty() => EnvFilter::try_new(directives).context("RUST_LOG")?,
            Ok(_) | Err(_) => EnvFilter::try_new(&log.level).context("log.level")?,
        };
        let lines = tracing_subscriber::fmt::layer();
        let lines = if std::io::stdout().is_terminal() {
            lines.with_target(false).boxed()
        } else {
            lines.fmt_fields(JsonFields::default()).event_format(json::Json).boxed()
        };
        tracing_subscriber::registry()
            .with(spans.with_filter(tracing_subscriber::filter::LevelFilter::INFO))
            .with(lines.with_filter(filter))
            .try_init()
            .context("logging is set up once in a process")?;
        Ok(Self { provider })
    }

    /// Sends what is still to be sent.
    pub fn shut_down(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH_TIMEOUT) {
            tracing::warn!(%error, "the last spans could not be sent");
        }
    }
}

fn tracer_provider(service: &'static str, jaeger: Option<&JaegerConfig>) -> anyhow::Result<SdkTracerProvider> {
    let resource = Resource::builder()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let builder = SdkTracerProvider::builder().with_resource(resource);
    let Some(jaeger) = jaeger else { return Ok(builder.build()) };
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&jaeger.endpoint)
        .build()
        .context("jaeger.endpoint cannot be used")?;
    Ok(builder.with_batch_exporter(exporter).build())
}
