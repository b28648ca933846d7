//! `stack broker`. This is not in the library, so that only this program links the broker.

use std::{net::SocketAddr, time::Instant};

use anyhow::Context as _;
use reqwest::Url;
use stack::{signals::StopSignals, terminal};
use tansu_broker::{NODE_ID, broker::Broker, coordinator::group::administrator::Controller};
use tansu_storage::StorageContainer;
use uuid::Uuid;

/// Serves until a signal asks to stop. Then all messages are lost.
pub async fn broker(listen: SocketAddr) -> anyhow::Result<()> {
    let mut signals = StopSignals::new()?;
    let url = Url::parse(&format!("tcp://{listen}"))?;
    let incarnation = Uuid::new_v4();
    let mut broker = Broker::<Controller<StorageContainer>, StorageContainer>::builder()
        .node_id(NODE_ID)
        // Each start is a new, empty cluster. Clients see that by the id.
        .cluster_id(format!("route256-{incarnation}"))
        .incarnation_id(incarnation)
        .listener(url.clone())
        .advertised_listener(url)
        .storage(Url::parse("memory://broker/")?)
        .silent(true)
        .build()
        .await?;
    terminal::print(format_args!("the broker listens on {listen}"));
    // Not `Broker::main`: after a signal, it waits for the clients to leave.
    tokio::select! {
        ended = broker.serve(Instant::now().into()) => ended.with_context(|| format!("cannot serve on {listen}")),
        _ = signals.next() => Ok(()),
    }
}
