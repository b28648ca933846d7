//! Pauses and resumes consumption, at each SIGUSR1.

use anyhow::Context as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing::info;

use super::metrics;

/// Clones share the state.
#[derive(Debug, Clone)]
pub struct Pause(watch::Sender<bool>);

impl Default for Pause {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Pause {
    /// Listens to SIGUSR1 from now on. Must be called early: the signal ends a process that does not listen to it.
    pub fn on_signal() -> anyhow::Result<Self> {
        let mut signals = signal(SignalKind::user_defined1()).context("cannot listen to SIGUSR1")?;
        let pause = Self::default();
        let toggled = pause.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                toggled.toggle();
            }
        });
        Ok(pause)
    }

    pub fn toggle(&self) {
        self.0.send_modify(|paused| *paused = !*paused);
        let paused = self.is_on();
        metrics::PAUSED.set(paused.into());
        info!(paused, "consumption is {}", if paused { "paused" } else { "resumed" });
    }

    pub(super) fn is_on(&self) -> bool {
        *self.0.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}
