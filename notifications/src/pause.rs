//! Whether consumption is paused: each SIGUSR1 changes it.

use anyhow::Context as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing::info;

use crate::metrics;

/// The switch; clones are the same one.
#[derive(Debug, Clone)]
pub struct Pause(watch::Sender<bool>);

impl Default for Pause {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Pause {
    /// Pauses, or resumes.
    pub fn toggle(&self) {
        self.0.send_modify(|paused| *paused = !*paused);
        let paused = self.is_on();
        metrics::PAUSED.set(paused.into());
        info!(paused, "consumption is {}", if paused { "paused" } else { "resumed" });
    }

    /// Toggles at each SIGUSR1, from now on and for the life of the process.
    pub fn toggle_on_signal(&self) -> anyhow::Result<()> {
        let mut signals = signal(SignalKind::user_defined1()).context("cannot listen to SIGUSR1")?;
        let pause = self.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                pause.toggle();
            }
        });
        Ok(())
    }

    pub(crate) fn is_on(&self) -> bool {
        *self.0.borrow()
    }

    /// Sees every change from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}
