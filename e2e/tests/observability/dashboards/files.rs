//! Reads the configuration of Grafana and Prometheus in `deployments/config`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use e2e::files::{files_in, list, path, yaml};
use serde_json::Value;

pub use e2e::files::text;

pub struct Dashboard {
    /// The name of the file, for messages.
    pub name: String,
    pub json: Value,
}

/// A panel with queries. Rows are no panels.
pub struct Panel<'a> {
    /// The dashboard and the title, for messages.
    pub name: String,
    pub json: &'a Value,
}

impl Dashboard {
    /// Panels and rows.
    pub fn places(&self) -> &[Value] {
        self.json["panels"].as_array().unwrap()
    }

    pub fn panels(&self) -> impl Iterator<Item = Panel<'_>> {
        let panels = self.places().iter().filter(|panel| panel["type"] != "row");
        panels.map(|json| Panel { name: format!("{}, {}", self.name, text(&json["title"])), json })
    }

    /// The variables that ask Prometheus: the name, the query, and the text that stands for all values.
    pub fn variables(&self) -> Vec<(&str, &str, &str)> {
        let list = self.json["templating"]["list"].as_array().unwrap();
        list.iter().map(|item| (text(&item["name"]), text(&item["query"]["query"]), text(&item["allValue"]))).collect()
    }

    /// The query that Grafana sends when the user chooses all values of the variables.
    pub fn resolved(&self, query: &str) -> String {
        // In Grafana, the window is a few scrapes long. Here it must hold everything that happened in the test.
        let mut query = query.replace("$__rate_interval", "5m").replace("$__range", "1h");
        for (name, _, all) in self.variables() {
            query = query.replace(&format!("${name}"), all);
        }
        assert!(!query.contains('$'), "{query} has a variable that {} does not define", self.name);
        query
    }
}

impl Panel<'_> {
    pub fn queries(&self) -> Vec<&str> {
        self.json["targets"].as_array().unwrap().iter().map(|target| text(&target["expr"])).collect()
    }

    /// The links of the points.
    pub fn links(&self) -> Vec<&str> {
        let links = self.json["fieldConfig"]["defaults"]["links"].as_array().into_iter().flatten();
        links.map(|link| text(&link["url"])).collect()
    }
}

pub fn dashboards() -> Vec<Dashboard> {
    let read =
        |path: &PathBuf| Dashboard { name: path.file_stem().unwrap().to_str().unwrap().to_owned(), json: yaml(path) };
    files_in("deployments/config/grafana/dashboards").iter().map(read).collect()
}

/// The data sources, by their uid.
pub fn data_sources() -> BTreeMap<String, Value> {
    let files = files_in("deployments/config/grafana/provisioning/datasources");
    let sources = files.iter().flat_map(|file| list(&yaml(file)["datasources"]));
    sources.map(|source| (text(&source["uid"]).to_owned(), source)).collect()
}

/// The names of the alerts.
pub fn alerts() -> BTreeSet<String> {
    let groups = rules().into_iter().flat_map(|(_, file)| list(&file["groups"]));
    let rules = groups.flat_map(|group| list(&group["rules"]));
    rules.filter_map(|rule| Some(rule["alert"].as_str()?.to_owned())).collect()
}

/// The configuration of Prometheus.
pub fn prometheus() -> Value {
    yaml(&path("deployments/config/prometheus/prometheus.yml"))
}

/// The files of Prometheus's rules, with their names.
pub fn rules() -> Vec<(String, Value)> {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    files_in("deployments/config/prometheus/rules").iter().map(|path| (name(path), yaml(path))).collect()
}
