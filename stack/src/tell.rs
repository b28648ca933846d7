//! `stack demo`: tells the story against the running fleet, or starts a fleet for it.

use anyhow::bail;
use clap::Args;
use stack::{
    demo::{self, Afterwards},
    doors::Door,
    fleet::{self, Fleet},
    signals::StopSignals,
    terminal,
};

use crate::up::Place;

/// The options of `stack demo`.
#[derive(Debug, Args)]
pub struct Tell {
    /// Call the services over HTTP/JSON, and show each call as a curl command.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Returns the exit code.
pub async fn run(Tell { json, place }: Tell) -> anyhow::Result<u8> {
    let door = if json { Door::Json } else { Door::Grpc };
    let mut signals = StopSignals::new()?;
    if let Some(addresses) = fleet::running(&place.state_dir) {
        // After a signal, the future of the story is dropped, and with it all that the story has started.
        return tokio::select! {
            told = demo::tell(&addresses, door, Afterwards::Stays) => told.map(|()| 0),
            _ = signals.next() => Ok(1),
        };
    }
    terminal::print(format_args!("No fleet is ready on {}; one is started for the story.", place.state_dir.display()));
    let settings = place.settings()?;
    let mut say = |line: &str| terminal::print(format_args!("  {line}"));
    let mut fleet = tokio::select! {
        fleet = Fleet::start(&settings, &mut say) => fleet?,
        _ = signals.next() => return Ok(1),
    };
    let addresses = fleet.addresses().clone();
    let told = tokio::select! {
        told = demo::tell(&addresses, door, Afterwards::Ends) => told.map(|()| 0),
        death = fleet.died() => bail!("{death}"),
        _ = signals.next() => Ok(1),
    };
    fleet.stop().await;
    told
}
