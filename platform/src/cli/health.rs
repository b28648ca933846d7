//! What `health` does: it asks the service that runs on this machine with the same configuration whether it is ready.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, ensure};

use crate::config::service::AdminConfig;

/// Longer than a service takes to find its database away.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Fails with the reason unless the service is ready.
pub(super) async fn ask(admin: &AdminConfig) -> anyhow::Result<()> {
    let url = format!("http://{}/readyz", from_here(admin.listen));
    let answer = async {
        let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        let answer = client.get(&url).send().await?;
        Ok((answer.status(), answer.text().await?))
    };
    let answer: reqwest::Result<_> = answer.await;
    let (status, text) =
        answer.map_err(reqwest::Error::without_url).with_context(|| format!("no answer from {url}"))?;
    ensure!(status.is_success(), "not ready: {}", text.trim());
    Ok(())
}

/// Where a port can be reached from its own machine: one that listens on every address, by loopback.
fn from_here(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_port_that_listens_everywhere_is_asked_by_loopback() {
        let asked = |listen: &str| from_here(listen.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:8181"), "127.0.0.1:8181");
        assert_eq!(asked("[::]:8181"), "[::1]:8181");
        assert_eq!(asked("127.0.0.2:8181"), "127.0.0.2:8181");
    }
}
