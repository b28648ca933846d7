//! Filters log lines by the configuration, but never more than what is safe to show.

use anyhow::Context as _;
use tracing::{Metadata, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter,
    filter::{FilterExt as _, Targets, filter_fn},
    layer::Filter,
};

use crate::config::service::LogConfig;

/// At debug level, these crates show URLs. The URL of Telegram contains the token of the bot.
const HTTP_CRATES: [&str; 3] = ["hyper", "hyper_util", "reqwest"];

/// This crate and the crate of the service.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnCrates([&'static str; 2]);

impl OwnCrates {
    pub(super) fn new(service: &'static str) -> Self {
        Self([env!("CARGO_PKG_NAME"), service])
    }

    /// Whether a span or an event comes from these crates.
    pub(super) fn contain(self, metadata: &Metadata<'_>) -> bool {
        let (name, _) = metadata.target().split_once("::").unwrap_or((metadata.target(), ""));
        self.0.contains(&name)
    }
}

pub(super) fn filter<S>(log: &LogConfig, own_crates: OwnCrates) -> anyhow::Result<impl Filter<S> + use<S>> {
    Ok(limit(EnvFilter::try_new(log.level.as_ref()).context("log.level")?, own_crates))
}

fn limit<S>(requested: EnvFilter, own_crates: OwnCrates) -> impl Filter<S> {
    // Also a filter for warnings only must let our spans through, because their fields are part of every line.
    let own_spans = filter_fn(move |metadata| metadata.is_span() && own_crates.contain(metadata))
        .with_max_level_hint(LevelFilter::INFO);
    requested.or(own_spans).and(safe_levels(own_crates))
}

/// At trace level, libraries show data of their callers: frames, packets, handshakes.
fn safe_levels(own_crates: OwnCrates) -> Targets {
    Targets::new()
        .with_default(LevelFilter::DEBUG)
        .with_targets(own_crates.0.map(|name| (name, LevelFilter::TRACE)))
        .with_targets(HTTP_CRATES.map(|name| (name, LevelFilter::INFO)))
        // `CountingExporter` logs its errors once.
        .with_target("opentelemetry", LevelFilter::OFF)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::{Arc, Mutex};

    use tracing::{debug, info, info_span, trace, warn};
    use tracing_subscriber::{Layer as _, layer::SubscriberExt as _};

    use super::*;
    use crate::telemetry::{json::json, lines::LineLayer};

    /// The lines of the events in `log`.
    fn written(directives: &str, log: impl FnOnce()) -> String {
        let written = Arc::new(Mutex::new(String::new()));
        let keep = Arc::clone(&written);
        let lines = LineLayer::new("test", move |line| keep.lock().unwrap().push_str(&json(line)));
        let layer = lines.with_filter(limit(EnvFilter::new(directives), OwnCrates::new("test")));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        written.lock().unwrap().clone()
    }

    #[test]
    fn a_line_has_the_fields_around_it_also_where_only_warnings_are_asked_for() {
        let lines = written("warn", || {
            let _span = info_span!("step", worker = "relay").entered();
            info!("not asked for");
            warn!("asked for");
        });
        assert!(lines.contains(r#""message":"asked for""#) && lines.contains(r#""worker":"relay""#), "{lines}");
        assert!(!lines.contains("not asked for"), "{lines}");
    }

    #[test]
    fn libraries_do_not_trace_and_clients_for_http_do_not_debug_whatever_is_asked_for() {
        for directives in ["trace", "h2=trace,reqwest=trace,platform=trace"] {
            let lines = written(directives, || {
                trace!("ours");
                trace!(target: "h2::codec", "a frame");
                debug!(target: "h2::codec", "the kind of a frame");
                debug!(target: "reqwest::connect", "a URL");
                info!(target: "reqwest::connect", "no URL");
            });
            for (text, is_written) in
                [("ours", true), ("a frame", false), ("the kind of a frame", true), ("a URL", false), ("no URL", true)]
            {
                assert_eq!(lines.contains(&format!(r#""message":"{text}""#)), is_written, "{text}: {lines}");
            }
        }
    }
}
