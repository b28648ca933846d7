//! `stack demo`: tells the story against the running fleet, or starts a fleet for it.

use std::path::PathBuf;

use anyhow::bail;
use stack::{
    demo,
    fleet::{self, Fleet, Settings},
    signals::StopSignals,
    terminal,
};

/// Returns the exit code.
pub async fn run(state: PathBuf) -> anyhow::Result<u8> {
    let mut signals = StopSignals::new()?;
    if let Some(addresses) = fleet::running(&state) {
        // After a signal, the future of the story is dropped, and with it all that the story has started.
        return tokio::select! {
            told = demo::tell(&addresses) => told.map(|()| 0),
            _ = signals.next() => Ok(1),
        };
    }
    terminal::print(format_args!("No fleet is ready on {}; one is started for the story.", state.display()));
    let settings = Settings::new(state, "certs");
    let mut say = |line: &str| terminal::print(format_args!("  {line}"));
    let mut fleet = tokio::select! {
        fleet = Fleet::start(&settings, &mut say) => fleet?,
        _ = signals.next() => return Ok(1),
    };
    let addresses = fleet.addresses().clone();
    let told = tokio::select! {
        told = demo::tell(&addresses) => told.map(|()| 0),
        death = fleet.died() => bail!("{death}"),
        _ = signals.next() => Ok(1),
    };
    fleet.stop().await;
    told
}
