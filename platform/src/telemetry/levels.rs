//! Which log lines are written: what `RUST_LOG`, or else the configuration, asks for, within what may be shown.

use anyhow::Context as _;
use tracing::{Metadata, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter,
    filter::{FilterExt as _, Targets, filter_fn},
    layer::Filter,
};

use crate::config::service::LogConfig;

/// Clients for HTTP, whose lines may show a URL; Telegram's holds the bot's token.
const WITH_URLS: [&str; 3] = ["hyper", "hyper_util", "reqwest"];

/// The crates whose lines and spans are our own: this one and that of the service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ours([&'static str; 2]);

impl Ours {
    pub(super) fn of(service: &'static str) -> Self {
        Self([env!("CARGO_PKG_NAME"), service])
    }

    /// Whether a span or an event is our own.
    pub(super) fn has(self, metadata: &Metadata<'_>) -> bool {
        let (name, _) = metadata.target().split_once("::").unwrap_or((metadata.target(), ""));
        self.0.contains(&name)
    }
}

/// The filter of log lines.
pub(super) fn filter<S>(log: &LogConfig, ours: Ours) -> anyhow::Result<impl Filter<S> + use<S>> {
    let asked = match std::env::var("RUST_LOG") {
        Ok(directives) if !directives.is_empty() => EnvFilter::try_new(directives).context("RUST_LOG")?,
        Ok(_) | Err(_) => EnvFilter::try_new(log.level.as_ref()).context("log.level")?,
    };
    Ok(bounded(asked, ours))
}

fn bounded<S>(asked: EnvFilter, ours: Ours) -> impl Filter<S> {
    // Whatever lines are asked for have the fields of our spans.
    let around =
        filter_fn(move |metadata| metadata.is_span() && ours.has(metadata)).with_max_level_hint(LevelFilter::INFO);
    asked.or(around).and(may_be_shown(ours))
}

/// Libraries show their callers' data when they trace: frames, packets, handshakes.
fn may_be_shown(ours: Ours) -> Targets {
    Targets::new()
        .with_default(LevelFilter::DEBUG)
        .with_targets(ours.0.map(|name| (name, LevelFilter::TRACE)))
        .with_targets(WITH_URLS.map(|name| (name, LevelFilter::INFO)))
        // What matters of it is said in `export`, once.
        .with_target("opentelemetry", LevelFilter::OFF)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::{Arc, Mutex};

    use tracing::{debug, info, info_span, trace, warn};
    use tracing_subscriber::{Layer as _, layer::SubscriberExt as _};

    use super::*;
    use crate::telemetry::{json::json, lines::Lines};

    /// The lines that are written of what happens in `say`, one after the other.
    fn written(asked: &str, say: impl FnOnce()) -> String {
        let written = Arc::new(Mutex::new(String::new()));
        let keep = Arc::clone(&written);
        let lines = Lines::new("test", move |line| keep.lock().unwrap().push_str(&json(line)));
        let layer = lines.with_filter(bounded(EnvFilter::new(asked), Ours::of("test")));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), say);
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
        for asked in ["trace", "h2=trace,reqwest=trace,platform=trace"] {
            let lines = written(asked, || {
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
