//! The files, read as the tools read them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// A rule of Prometheus.
pub struct Rule {
    /// The whole of it.
    pub json: Value,
}

impl Rule {
    /// The name of the alert, if it is one.
    pub fn alert(&self) -> Option<&str> {
        self.json["alert"].as_str()
    }

    /// The name of the series that it records, if it does.
    pub fn record(&self) -> Option<&str> {
        self.json["record"].as_str()
    }

    /// What it asks for.
    pub fn query(&self) -> &str {
        text(&self.json["expr"])
    }
}

/// The rules of all files.
pub fn rules() -> Vec<Rule> {
    let groups = prometheus("rules").iter().flat_map(|path| list(&yaml(path)["groups"])).collect::<Vec<_>>();
    groups.iter().flat_map(|group| list(&group["rules"])).map(|json| Rule { json }).collect()
}

/// The alerts among them.
pub fn alerts() -> Vec<Rule> {
    rules().into_iter().filter(|rule| rule.alert().is_some()).collect()
}

/// The tests of the rules.
pub fn rule_tests() -> Vec<Value> {
    prometheus("tests").iter().flat_map(|path| list(&yaml(path)["tests"])).collect()
}

/// The files in a directory of Prometheus' configuration.
pub fn prometheus(directory: &str) -> Vec<PathBuf> {
    directory_of(&format!("deployments/config/prometheus/{directory}"))
}

/// What identifies each dashboard of Grafana.
pub fn dashboards() -> Vec<String> {
    grafana().iter().map(|dashboard| text(&dashboard["uid"]).to_owned()).collect()
}

/// The titles of the dashboards, and of everything on them.
pub fn titles() -> BTreeSet<String> {
    let dashboards = grafana();
    let panels = dashboards.iter().flat_map(|dashboard| list(&dashboard["panels"]));
    panels.chain(dashboards.iter().cloned()).map(|shown| text(&shown["title"]).to_owned()).collect()
}

fn grafana() -> Vec<Value> {
    let files = directory_of("deployments/config/grafana/dashboards");
    files.iter().map(|path| serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()).collect()
}

/// A path in the repository.
pub fn path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A list that may be left out.
pub fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// A text that must be there.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// The files in a directory of the repository.
pub fn directory_of(directory: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(path(directory)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{directory} is empty");
    files
}

fn yaml(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
