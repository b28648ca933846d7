//! The observers: Alertmanager, Prometheus, Jaeger and Grafana. Those that are installed run beside the fleet, configured
//! by the files of `deployments/config`. The fleet works without them.

use std::{fs, path::Path, process::Command};

use anyhow::Context as _;

use super::{Addresses, Observer, Part};
use crate::{
    alertmanager::{self, Receivers},
    prometheus,
};

mod alerting;
mod files;
mod grafana;
mod jaeger;
mod scraping;

use grafana::Grafana;
use jaeger::Jaeger;

pub use grafana::overview;

/// The observers that are installed.
#[derive(Debug, Clone, Default)]
pub struct Installed {
    alertmanager: Option<alertmanager::Tools>,
    prometheus: Option<prometheus::Tools>,
    jaeger: Option<Jaeger>,
    grafana: Option<Grafana>,
}

impl Installed {
    pub fn find() -> Self {
        Self {
            alertmanager: alertmanager::find(),
            prometheus: prometheus::find(),
            jaeger: Jaeger::find(),
            grafana: Grafana::find(),
        }
    }

    pub fn has(&self, observer: Observer) -> bool {
        match observer {
            Observer::Alertmanager => self.alertmanager.is_some(),
            Observer::Prometheus => self.prometheus.is_some(),
            Observer::Jaeger => self.jaeger.is_some(),
            Observer::Grafana => self.grafana.is_some(),
        }
    }

    /// For each observer that is not installed, a sentence that says how to get it.
    pub fn missing(&self) -> Vec<String> {
        let how = [
            (Observer::Alertmanager, "Alertmanager", alertmanager::INSTALL),
            (Observer::Prometheus, "Prometheus", prometheus::INSTALL),
            (Observer::Jaeger, "Jaeger", jaeger::INSTALL),
            (Observer::Grafana, "Grafana", grafana::INSTALL),
        ];
        how.iter()
            .filter(|(observer, ..)| !self.has(*observer))
            .map(|(_, name, how)| format!("{name} is not installed: {how}."))
            .collect()
    }

    /// Writes the configuration of an observer to a directory of its own, and returns the command that runs the
    /// observer; none if it is not installed.
    pub(super) fn prepare(
        &self,
        observer: Observer,
        fleet: &Addresses,
        receivers: &Receivers,
        dir: &Path,
    ) -> anyhow::Result<Option<Command>> {
        let directory = dir.join(Part::Observer(observer).name());
        let command = match observer {
            Observer::Alertmanager => self
                .alertmanager
                .as_ref()
                .map(|tools| alerting::prepare(&tools.alertmanager, fleet, receivers, &directory)),
            Observer::Prometheus => {
                self.prometheus.as_ref().map(|tools| scraping::prepare(&tools.prometheus, fleet, &directory))
            }
            Observer::Jaeger => self.jaeger.as_ref().map(|jaeger| jaeger.prepare(fleet, &directory)),
            Observer::Grafana => self.grafana.as_ref().map(|grafana| grafana.prepare(fleet, &directory)),
        };
        command.transpose()
    }
}

/// Replaces the directory `to` with the embedded files below a directory of `deployments/config`.
fn unpack(from: &str, to: &Path) -> anyhow::Result<()> {
    let write = || {
        if to.exists() {
            fs::remove_dir_all(to)?;
        }
        fs::create_dir_all(to)?;
        for (path, text) in files::below(from) {
            let file = to.join(path);
            fs::create_dir_all(file.parent().unwrap_or(to))?;
            fs::write(file, text)?;
        }
        std::io::Result::Ok(())
    };
    write().with_context(|| format!("cannot write the files of {}", to.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn for_each_that_is_missing_there_is_a_sentence_that_says_how_to_get_it() {
        let missing = Installed::default().missing();
        let [alertmanager, prometheus, jaeger, grafana] = &missing[..] else { panic!("not four") };
        assert!(alertmanager.starts_with("Alertmanager is not installed") && alertmanager.contains("apt-get install"));
        assert!(prometheus.starts_with("Prometheus is not installed") && prometheus.contains("apt-get install"));
        assert!(jaeger.starts_with("Jaeger is not installed") && jaeger.contains("https://www.jaegertracing.io/"));
        assert!(grafana.starts_with("Grafana is not installed") && grafana.contains("https://grafana.com/"));
    }
}
