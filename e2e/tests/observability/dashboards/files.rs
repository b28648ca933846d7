//! What Grafana and Prometheus are configured with: the files of `deployments/config`, read as Grafana reads them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// A dashboard.
pub struct Dashboard {
    /// Its file's name, for messages.
    pub name: String,
    /// The whole of it.
    pub json: Value,
}

/// A panel that shows something; rows do not.
pub struct Panel<'a> {
    /// Its dashboard and title, for messages.
    pub name: String,
    /// The whole of it.
    pub json: &'a Value,
}

impl Dashboard {
    /// Everything on it that has a place.
    pub fn places(&self) -> &[Value] {
        self.json["panels"].as_array().unwrap()
    }

    /// What shows something.
    pub fn panels(&self) -> impl Iterator<Item = Panel<'_>> {
        let panels = self.places().iter().filter(|panel| panel["type"] != "row");
        panels.map(|json| Panel { name: format!("{}, {}", self.name, text(&json["title"])), json })
    }

    /// Its variables that ask Prometheus: name, query, and what stands for all of its values.
    pub fn variables(&self) -> Vec<(&str, &str, &str)> {
        let list = self.json["templating"]["list"].as_array().unwrap();
        list.iter().map(|it| (text(&it["name"]), text(&it["query"]["query"]), text(&it["allValue"]))).collect()
    }

    /// A query as Grafana sends it when all values of the variables are chosen.
    pub fn resolved(&self, query: &str) -> String {
        // The window is a few scrapes in Grafana; here it is long enough to hold all that happened in the test.
        let mut query = query.replace("$__rate_interval", "5m").replace("$__range", "1h");
        for (name, _, all) in self.variables() {
            query = query.replace(&format!("${name}"), all);
        }
        assert!(!query.contains('$'), "{query} has a variable that {} does not define", self.name);
        query
    }
}

impl Panel<'_> {
    /// Its queries as they are written.
    pub fn queries(&self) -> Vec<&str> {
        self.json["targets"].as_array().unwrap().iter().map(|target| text(&target["expr"])).collect()
    }

    /// Where its points lead to.
    pub fn links(&self) -> Vec<&str> {
        self.json["fieldConfig"]["defaults"]["links"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|it| text(&it["url"]))
            .collect()
    }
}

/// All dashboards.
pub fn dashboards() -> Vec<Dashboard> {
    let read = |path: &PathBuf| Dashboard {
        name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
        json: serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap(),
    };
    files("grafana/dashboards").iter().map(read).collect()
}

/// The data sources by their uid.
pub fn data_sources() -> BTreeMap<String, Value> {
    let sources = files("grafana/provisioning/datasources").into_iter().flat_map(|path| {
        let file = yaml(&path);
        file["datasources"].as_array().unwrap().clone()
    });
    sources.map(|source| (text(&source["uid"]).to_owned(), source)).collect()
}

/// The names of the alerts.
pub fn alerts() -> BTreeSet<String> {
    let rules = rules().into_iter().flat_map(|(_, file)| file["groups"].as_array().unwrap().clone());
    let rules = rules.flat_map(|group| group["rules"].as_array().unwrap().clone());
    rules.filter_map(|rule| Some(rule["alert"].as_str()?.to_owned())).collect()
}

/// Prometheus' configuration.
pub fn prometheus() -> Value {
    yaml(&config().join("prometheus/prometheus.yml"))
}

/// Its rules: the name of each file, and what it says.
pub fn rules() -> Vec<(String, Value)> {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    files("prometheus/rules").iter().map(|path| (name(path), yaml(path))).collect()
}

/// A text that must be there.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn config() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deployments/config")
}

fn files(directory: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(config().join(directory)).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    files
}

fn yaml(path: &Path) -> Value {
    serde_yaml::from_str(&fs::read_to_string(path).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
