//! The command `health`: it asks the service that runs on this machine with the same configuration if it is ready.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, ensure};

use crate::config::service::AdminConfig;

/// A service needs up to two seconds to notice that its database is gone.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Fails with the reason if the service is not ready.
pub(super) async fn check(admin: &AdminConfig) -> anyhow::Result<()> {
    let url = format!("http://{}/readyz", connect_address(admin.listen));
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

/// The address under which this machine reaches the port. A port that listens on every address is reached by loopback.
fn connect_address(listen: SocketAddr) -> SocketAddr {
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
        let asked = |listen: &str| connect_address(listen.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:8181"), "127.0.0.1:8181");
        assert_eq!(asked("[::]:8181"), "[::1]:8181");
        assert_eq!(asked("127.0.0.2:8181"), "127.0.0.2:8181");
    }
}
