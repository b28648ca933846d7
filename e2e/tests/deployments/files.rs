//! Reads the rules of Prometheus and the dashboards of Grafana.

use std::{collections::BTreeSet, path::PathBuf};

use serde_json::Value;

pub use e2e::files::{files_in, list, path, text, yaml};

/// A rule of Prometheus: either an alert or a recording rule.
pub struct Rule {
    pub json: Value,
}

impl Rule {
    /// The name of the alert.
    pub fn alert(&self) -> Option<&str> {
        self.json["alert"].as_str()
    }

    /// The name of the recorded series.
    pub fn record(&self) -> Option<&str> {
        self.json["record"].as_str()
    }

    pub fn query(&self) -> &str {
        text(&self.json["expr"])
    }
}

pub fn rules() -> Vec<Rule> {
    let groups = prometheus("rules").iter().flat_map(|path| list(&yaml(path)["groups"])).collect::<Vec<_>>();
    groups.iter().flat_map(|group| list(&group["rules"])).map(|json| Rule { json }).collect()
}

pub fn alerts() -> Vec<Rule> {
    rules().into_iter().filter(|rule| rule.alert().is_some()).collect()
}

pub fn rule_tests() -> Vec<Value> {
    prometheus("tests").iter().flat_map(|path| list(&yaml(path)["tests"])).collect()
}

/// The files in a directory of Prometheus's configuration.
pub fn prometheus(directory: &str) -> Vec<PathBuf> {
    files_in(&format!("deployments/config/prometheus/{directory}"))
}

/// The uid of each dashboard.
pub fn dashboard_uids() -> Vec<String> {
    grafana().iter().map(|dashboard| text(&dashboard["uid"]).to_owned()).collect()
}

/// The titles of the dashboards and of their panels.
pub fn titles() -> BTreeSet<String> {
    let dashboards = grafana();
    let panels = dashboards.iter().flat_map(|dashboard| list(&dashboard["panels"]));
    panels.chain(dashboards.iter().cloned()).map(|item| text(&item["title"]).to_owned()).collect()
}

fn grafana() -> Vec<Value> {
    files_in("deployments/config/grafana/dashboards").iter().map(|path| yaml(path)).collect()
}
