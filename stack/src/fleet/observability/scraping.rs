//! Runs Prometheus beside a local fleet, with the configuration of a deployment and the addresses of this machine.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::Context as _;
use serde_json::json;
use serde_yaml::Value;

use super::{files, unpack};
use crate::{
    fleet::{Addresses, Service},
    prometheus,
};

/// Writes the configuration and the rules, and returns the command that runs Prometheus.
pub(super) fn prepare(program: &Path, addresses: &Addresses, directory: &Path) -> anyhow::Result<Command> {
    let listen = addresses.prometheus.context("the fleet has no Prometheus")?;
    unpack("prometheus/rules", &directory.join("rules"))?;
    let file = directory.join("prometheus.yml");
    let text = config(files::text("prometheus/prometheus.yml")?, addresses, directory)?;
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(prometheus::command(program, &file, &directory.join("data"), listen))
}

/// Changes a deployment's configuration for this machine: each job and the receiver of alerts get their local addresses,
/// and those without a local process are left out.
fn config(deployed: &str, addresses: &Addresses, directory: &Path) -> anyhow::Result<String> {
    let mut config: Value = serde_yaml::from_str(deployed).context("prometheus.yml")?;
    let local = |job: &str| match job {
        "prometheus" => addresses.prometheus,
        name => Service::ALL
            .into_iter()
            .find(|service| service.name() == name)
            .map(|service| addresses.service(service).admin),
    };
    let jobs = config["scrape_configs"].as_sequence().cloned().unwrap_or_default();
    let jobs = jobs.into_iter().filter_map(|mut job| {
        let target = local(job["job_name"].as_str()?)?.to_string();
        job["static_configs"] = serde_yaml::to_value([BTreeMap::from([("targets", [target])])]).ok()?;
        Some(job)
    });
    config["scrape_configs"] = jobs.collect();
    config["rule_files"] = vec![format!("{}/rules/*.yml", directory.display())].into();
    let receivers: Vec<_> = addresses.alertmanager.iter().map(ToString::to_string).collect();
    config["alerting"] =
        serde_yaml::to_value(json!({ "alertmanagers": [{ "static_configs": [{ "targets": receivers }] }] }))?;
    Ok(serde_yaml::to_string(&config)?)
}
