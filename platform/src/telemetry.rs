//! Logs and traces of the process: spans carry a trace id that travels between services as W3C `traceparent`, log
//! lines show it, and both leave the process where that is configured: spans by OTLP, lines as GELF.

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
pub(crate) mod steps;
pub mod trace;

use levels::Ours;
use lines::Lines;

/// How long the last spans and log messages may take to leave when the process ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// How long log messages may take when the spans are gone, at the least.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What must be flushed at the end of the process.
#[must_use = "spans and log messages are lost unless it is shut down at the end"]
pub struct Telemetry {
    provider: SdkTracerProvider,
    graylog: Option<gelf::Sending>,
}

impl Telemetry {
    /// Sets up logging and tracing; once in a process, inside a Tokio runtime.
    ///
    /// Log lines are JSON, or text for people where standard output is a terminal. `RUST_LOG` overrides the
    /// configured level.
    pub fn install(
        service: &'static str,
        log: &LogConfig,
        jaeger: Option<&JaegerConfig>,
        graylog: Option<&GraylogConfig>,
    ) -> anyhow::Result<Self> {
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        let ours = Ours::of(service);
        let provider = export::provider(service, jaeger)?;
        let spans = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("fleet"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_filter(filter_fn(move |metadata| is_traced(metadata, ours)).with_max_level_hint(LevelFilter::INFO));
        let (gelf, delivery) = graylog.map(gelf::Gelf::new).unzip();
        let for_people = console::for_people();
        let is_for_programs = for_people.is_none();
        let lines = Lines::new(service, move |line| {
            if is_for_programs {
                console::write(line);
            }
            if let Some(gelf) = &gelf {
                gelf.send(line);
            }
        });
        // Not `try_init`: it takes in the records of the crate `log` too, and whoever asks there whether a level is enabled
        // leaves the answer behind for the next span of the thread, which is lost then.
        tracing::subscriber::set_global_default(
            tracing_subscriber::registry()
                .with(spans)
                .with(lines.with_filter(levels::filter(log, ours)?))
                .with(for_people.with_filter(levels::filter(log, ours)?)),
        )
        .context("logging is set up once in a process")?;
        Ok(Self { provider, graylog: delivery.map(gelf::Sending::begin) })
    }

    /// Sends what is still to be sent.
    pub async fn shut_down(self) {
        let Self { provider, graylog } = self;
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        let spans = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIMEOUT));
        if let Ok(Err(error)) = spans.await {
            tracing::warn!(%error, "the last spans could not be sent");
        }
        if let Some(graylog) = graylog {
            // It has gone on all the while, so little is left.
            graylog.finish(deadline.max(Instant::now() + LAST_WORDS)).await;
        }
    }
}

/// Spans of our own, and the warnings within them; libraries have spans too, which say nothing to a reader.
fn is_traced(metadata: &Metadata<'_>, ours: Ours) -> bool {
    let level = if metadata.is_span() { Level::INFO } else { Level::WARN };
    *metadata.level() <= level && ours.has(metadata)
}
