//! Waits until notifications has read all events, before the local broker stops. The broker keeps its topics in memory,
//! and LOMS does not publish an event again, so an unread event would be lost.

use std::{net::SocketAddr, time::Duration};

/// In this time, notifications asks the broker for more events at least twice.
const QUIET: Duration = Duration::from_millis(600);
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How the counters of events begin; there is one for each result.
const EVENTS_READ: &str = "notifications_events_total{";

/// Waits until notifications has read no event for a while, or does not answer. `admin` is its admin port.
pub(super) async fn wait(admin: SocketAddr) {
    let mut before = None;
    let mut quiet = Duration::ZERO;
    while quiet < QUIET {
        let Some(read) = events_read(admin).await else { return };
        quiet = if before == Some(read) { quiet + POLL_INTERVAL } else { Duration::ZERO };
        before = Some(read);
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn events_read(admin: SocketAddr) -> Option<u64> {
    let metrics = reqwest::get(format!("http://{admin}/metrics")).await.ok()?.text().await.ok()?;
    let counts = metrics.lines().filter(|line| line.starts_with(EVENTS_READ)).filter_map(|line| line.rsplit_once(' '));
    Some(counts.filter_map(|(_, count)| count.parse::<u64>().ok()).sum())
}
