//! Logs and traces of the process. All spans and log lines of a request have its trace id, which travels between
//! services as W3C `traceparent`. If so configured, spans also go to an OTLP collector and log lines to Graylog.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing::{Level, Metadata, level_filters::LevelFilter};
use tracing_subscriber::{Layer as _, filter::filter_fn, layer::SubscriberExt as _};

use crate::config::service::{GraylogConfig, JaegerConfig, LogConfig};

mod console;
mod export;
mod fields;
mod gelf;
mod json;
mod levels;
mod lines;
pub(crate) mod repeated;
pub(crate) mod steps;
pub mod trace;

use levels::OwnCrates;
use lines::LineLayer;

/// For the last spans and log messages, when the process ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The last log messages get at least this time, also if the spans used up [`FLUSH_TIMEOUT`].
const MIN_GRAYLOG_TIMEOUT: Duration = Duration::from_millis(500);

#[must_use = "the last spans and log messages are lost without `shut_down`"]
pub struct Telemetry {
    provider: SdkTracerProvider,
    graylog: Option<gelf::DeliveryTask>,
}

impl Telemetry {
    /// Must be called inside a Tokio runtime, once in a process.
    ///
    /// Log lines are JSON, or text if standard output is a terminal.
    pub fn install(
        service: &'static str,
        log: &LogConfig,
        jaeger: Option<&JaegerConfig>,
        graylog: Option<&GraylogConfig>,
    ) -> anyhow::Result<Self> {
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        let own_crates = OwnCrates::new(service);
        let provider = export::provider(service, jaeger)?;
        let spans = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("fleet"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_filter(
                filter_fn(move |metadata| is_traced(metadata, own_crates)).with_max_level_hint(LevelFilter::INFO),
            );
        let (queue, delivery) = graylog.map(gelf::GelfQueue::new).unzip();
        let terminal_layer = console::terminal_layer();
        let is_json = terminal_layer.is_none();
        let lines = LineLayer::new(service, move |line| {
            if is_json {
                console::write_json(line);
            }
            if let Some(queue) = &queue {
                queue.push(line);
            }
        });
        // `try_init` would also take the records of the crate `log`. When a library asks there if a level is enabled,
        // the filters keep the answer, and wrongly use it for the next span of the thread. That span would be lost.
        tracing::subscriber::set_global_default(
            tracing_subscriber::registry()
                .with(spans)
                .with(lines.with_filter(levels::filter(log, own_crates)?))
                .with(terminal_layer.with_filter(levels::filter(log, own_crates)?)),
        )
        .context("logging is set up once in a process")?;
        Ok(Self { provider, graylog: delivery.map(gelf::DeliveryTask::start) })
    }

    pub async fn shut_down(self) {
        let Self { provider, graylog } = self;
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        let spans = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIMEOUT));
        if let Ok(Err(error)) = spans.await {
            tracing::warn!(%error, "the last spans could not be sent");
        }
        if let Some(graylog) = graylog {
            // Graylog got messages while the spans were sent, so few are left.
            graylog.finish(deadline.max(Instant::now() + MIN_GRAYLOG_TIMEOUT)).await;
        }
    }
}

/// Traces have the spans of our own crates, and the warnings in these spans.
fn is_traced(metadata: &Metadata<'_>, own_crates: OwnCrates) -> bool {
    let level = if metadata.is_span() { Level::INFO } else { Level::WARN };
    *metadata.level() <= level && own_crates.contain(metadata)
}
