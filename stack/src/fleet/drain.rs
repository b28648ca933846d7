//! The local broker keeps its topics in memory. Before it goes, notifications must have read what LOMS has published:
//! LOMS does not publish it again.

use std::{net::SocketAddr, time::Duration};

/// Notifications asks the broker for more events at least twice in this time.
const QUIET: Duration = Duration::from_millis(600);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// The counters of events that were read, one for each result.
const READ: &str = "notifications_events_total{";

/// Waits until notifications, whose admin port this is, has read no event for a while, or does not answer.
pub(super) async fn wait(admin: SocketAddr) {
    let mut before = None;
    let mut quiet = Duration::ZERO;
    while quiet < QUIET {
        let Some(read) = events_read(admin).await else { return };
        quiet = if before == Some(read) { quiet + LOOK } else { Duration::ZERO };
        before = Some(read);
        tokio::time::sleep(LOOK).await;
    }
}

async fn events_read(admin: SocketAddr) -> Option<u64> {
    let metrics = reqwest::get(format!("http://{admin}/metrics")).await.ok()?.text().await.ok()?;
    let counts = metrics.lines().filter(|line| line.starts_with(READ)).filter_map(|line| line.rsplit_once(' '));
    Some(counts.filter_map(|(_, count)| count.parse::<u64>().ok()).sum())
}
