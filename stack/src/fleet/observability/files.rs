//! Embedded copies of the files in `deployments/config`, so that a fleet can be started from anywhere.

use anyhow::Context as _;

macro_rules! embedded {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!(concat!("../../../../deployments/config/", $path)))),*]
    };
}

/// Paths below `deployments/config`, and texts.
const FILES: &[(&str, &str)] = &embedded![
    "alertmanager/alertmanager.yml",
    "alertmanager/configure.sh",
    "alertmanager/message.tmpl",
    "prometheus/prometheus.yml",
    "grafana/dashboards/checkout.json",
    "grafana/dashboards/kafka-outbox.json",
    "grafana/dashboards/loms.json",
    "grafana/dashboards/notifications.json",
    "grafana/dashboards/overview.json",
    "grafana/provisioning/dashboards/dashboards.yml",
    "grafana/provisioning/datasources/datasources.yml",
    "prometheus/rules/checkout.yml",
    "prometheus/rules/loms.yml",
    "prometheus/rules/notifications.yml",
    "prometheus/rules/processes.yml",
    "prometheus/rules/services.yml",
    "prometheus/rules/slo-alerts.yml",
    "prometheus/rules/slo.yml",
    "prometheus/rules/telemetry.yml",
];

pub(super) fn text(path: &str) -> anyhow::Result<&'static str> {
    let file = FILES.iter().find(|(name, _)| *name == path);
    file.map(|(_, text)| *text).with_context(|| format!("{path} is not embedded"))
}

/// The files below a directory: their paths from there, and their texts.
pub(super) fn below(directory: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let inside = move |path: &'static str| path.strip_prefix(directory)?.strip_prefix('/');
    FILES.iter().filter_map(move |(path, text)| Some((inside(path)?, *text)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    const DIRECTORIES: [&str; 4] = ["alertmanager", "prometheus/rules", "grafana/provisioning", "grafana/dashboards"];

    fn add_files(directory: &Path, files: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add_files(&path, files);
            } else {
                files.insert(path.to_str().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn every_rule_every_dashboard_and_every_way_of_an_alert_of_a_deployment_is_a_local_fleets_too() {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deployments/config");
        let mut deployed = BTreeSet::new();
        for directory in DIRECTORIES {
            add_files(&config.join(directory), &mut deployed);
        }
        let embedded = DIRECTORIES.into_iter().flat_map(|directory| {
            let config = config.join(directory);
            below(directory).map(move |(path, _)| config.join(path).to_str().unwrap().to_owned())
        });
        let embedded: BTreeSet<_> = embedded.collect();
        assert_eq!(embedded, deployed);
    }
}
