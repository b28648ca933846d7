//! `stack broker`.

use std::{net::SocketAddr, path::Path};

use anyhow::Context as _;
use stack::{kafka::Kafka, signals::StopSignals, terminal};
use tokio::net::TcpListener;

/// Serves until a signal asks to stop.
pub async fn broker(listen: SocketAddr, data: &Path) -> anyhow::Result<()> {
    let mut signals = StopSignals::new()?;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    let kafka = Kafka::open(data, address).with_context(|| format!("cannot open {}", data.display()))?;
    terminal::print(format_args!("the broker listens on {address}"));
    tokio::select! {
        never = kafka.serve(listener) => match never {},
        _ = signals.next() => Ok(()),
    }
}
