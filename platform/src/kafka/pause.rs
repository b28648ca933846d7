//! Whether consumption is paused: each SIGUSR1 changes it.

use anyhow::Context as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing::info;

use super::metrics;

/// The switch; clones are the same one.
#[derive(Debug, Clone)]
pub struct Pause(watch::Sender<bool>);

impl Default for Pause {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Pause {
    /// A switch that each SIGUSR1 turns, from now on and for the life of the process. To be made early: the signal ends a
    /// process that does not listen to it.
    pub fn on_signal() -> anyhow::Result<Self> {
        let mut signals = signal(SignalKind::user_defined1()).context("cannot listen to SIGUSR1")?;
        let pause = Self::default();
        let switch = pause.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                switch.toggle();
            }
        });
        Ok(pause)
    }

    /// Pauses, or resumes.
    pub fn toggle(&self) {
        self.0.send_modify(|paused| *paused = !*paused);
        let paused = self.is_on();
        metrics::PAUSED.set(paused.into());
        info!(paused, "consumption is {}", if paused { "paused" } else { "resumed" });
    }

    pub(super) fn is_on(&self) -> bool {
        *self.0.borrow()
    }

    /// Sees every change from now on.
    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}
