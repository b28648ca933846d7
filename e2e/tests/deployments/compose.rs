//! Reads the compose files as compose does: it merges anchors and replaces variables.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

use serde_yaml::Value;

use crate::files::path;

/// The file of the fleet, and the file of Graylog.
pub const FILES: [&str; 2] = ["deployments/docker-compose.yaml", "deployments/docker-compose.logs.yaml"];

/// The file that people copy to `deployments/.env`.
pub const VARIABLES: &str = "deployments/example.env";

/// One compose file, or both as one project.
pub struct Compose {
    pub services: BTreeMap<String, Service>,
    pub networks: BTreeMap<String, Value>,
    /// The named volumes.
    pub volumes: BTreeSet<String>,
}

/// A service of a compose file.
#[derive(Clone)]
pub struct Service {
    pub yaml: Value,
}

/// A file, directory or volume that is mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The name of a volume, or a path relative to `deployments/`, which begins with a dot.
    pub source: String,
    /// The path in the container.
    pub target: String,
    pub is_read_only: bool,
}

impl Compose {
    /// Reads one file, with the variables of the example.
    pub fn read(file: &str) -> Self {
        Self::read_with(file, &variables())
    }

    /// Reads one file, with these variables.
    pub fn read_with(file: &str, variables: &BTreeMap<String, String>) -> Self {
        let text = fs::read_to_string(path(file)).unwrap();
        let mut yaml: Value = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        // Each time, one more level of nested merges is resolved.
        for _ in 0..4 {
            yaml.apply_merge().unwrap_or_else(|error| panic!("{file}: {error}"));
        }
        replace_variables(&mut yaml, variables);
        let services = entries(&yaml["services"]).map(|(name, yaml)| (name, Service { yaml })).collect();
        let volumes = entries(&yaml["volumes"]).map(|(name, _)| name).collect();
        Self { services, networks: entries(&yaml["networks"]).collect(), volumes }
    }

    pub fn both() -> Self {
        let [mut both, logs] = FILES.map(Self::read);
        for (name, service) in logs.services {
            assert!(both.services.insert(name.clone(), service).is_none(), "both files have a service {name}");
        }
        both.networks.extend(logs.networks);
        both.volumes.extend(logs.volumes);
        both
    }

    /// Only services that share a network can reach each other.
    pub fn share_a_network(&self, one: &str, other: &str) -> bool {
        let [one, other] = [one, other].map(|name| self.services[name].networks());
        one.intersection(&other).next().is_some()
    }
}

impl Service {
    /// The target of our Dockerfile; none for an image of others.
    pub fn target(&self) -> Option<String> {
        self.yaml["build"]["target"].as_str().map(str::to_owned)
    }

    /// Whether the container does its work and ends.
    pub fn runs_once(&self) -> bool {
        self.text("restart") == "no"
    }

    /// The value of a key. Panics if it is missing.
    pub fn text(&self, key: &str) -> String {
        scalar(&self.yaml[key]).unwrap_or_else(|| panic!("{key} is missing in {:?}", self.yaml))
    }

    /// The texts of an optional list.
    pub fn list(&self, key: &str) -> Vec<String> {
        texts(&self.yaml[key])
    }

    /// The command of the health check, without its first word, `CMD` or `CMD-SHELL`.
    pub fn health(&self) -> Option<Vec<String>> {
        let test = texts(&self.yaml["healthcheck"]["test"]);
        test.split_first().map(|(_, command)| command.to_vec())
    }

    pub fn stop_grace_period(&self) -> Duration {
        seconds(&self.text("stop_grace_period"))
    }

    pub fn environment(&self) -> BTreeMap<String, String> {
        entries(&self.yaml["environment"]).map(|(name, value)| (name, scalar(&value).unwrap())).collect()
    }

    pub fn networks(&self) -> BTreeSet<String> {
        self.list("networks").into_iter().collect()
    }

    /// The services that this one waits for, each with the condition.
    pub fn depends_on(&self) -> BTreeMap<String, String> {
        let condition = |value: Value| value["condition"].as_str().unwrap().to_owned();
        entries(&self.yaml["depends_on"]).map(|(name, value)| (name, condition(value))).collect()
    }

    /// The published ports: the interface, the port there, and the port of the container.
    pub fn ports(&self) -> Vec<(String, u16, u16)> {
        let ports = self.list("ports");
        let port = |text: &str| text.parse().unwrap();
        let parts = ports.iter().map(|text| text.rsplitn(3, ':').collect::<Vec<_>>());
        parts
            .map(|parts| match parts[..] {
                [inside, outside, interface] => (interface.to_owned(), port(outside), port(inside)),
                _ => panic!("{parts:?} is published on every interface"),
            })
            .collect()
    }

    pub fn mounts(&self) -> Vec<Mount> {
        let volumes = self.list("volumes");
        volumes
            .iter()
            .map(|text| {
                let parts: Vec<_> = text.split(':').collect();
                let (source, target) = (parts[0].to_owned(), parts[1].to_owned());
                Mount { source, target, is_read_only: parts.get(2) == Some(&"ro") }
            })
            .collect()
    }
}

/// The variables of the example.
pub fn variables() -> BTreeMap<String, String> {
    let text = fs::read_to_string(path(VARIABLES)).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once('=').unwrap()).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The names of the variables in a text: `${NAME}` and `${NAME:...}`.
pub fn variables_in(text: &str) -> BTreeSet<String> {
    let rest = text.split("${").skip(1);
    rest.map(|rest| rest.split(['}', ':']).next().unwrap().to_owned()).collect()
}

/// Replaces `${NAME}`, `${NAME:-default}` and `${NAME:?error}`.
fn replace_variables(yaml: &mut Value, variables: &BTreeMap<String, String>) {
    match yaml {
        Value::String(text) => {
            while let Some((before, rest)) = text.split_once("${") {
                let (inside, after) = rest.split_once('}').unwrap();
                let (name, otherwise) = inside.split_once(':').unwrap_or((inside, "?"));
                let value = match (variables.get(name).filter(|value| !value.is_empty()), otherwise.strip_prefix('-')) {
                    (Some(value), _) => value,
                    (None, Some(default)) => default,
                    (None, None) => panic!("{name} has no value"),
                };
                *text = format!("{before}{value}{after}");
            }
        }
        Value::Sequence(values) => values.iter_mut().for_each(|value| replace_variables(value, variables)),
        Value::Mapping(values) => values.values_mut().for_each(|value| replace_variables(value, variables)),
        Value::Tagged(tagged) => replace_variables(&mut tagged.value, variables),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Parses a duration such as `10s`.
pub fn seconds(text: &str) -> Duration {
    Duration::from_secs(text.strip_suffix('s').unwrap().parse().unwrap())
}

/// The entries of an optional mapping.
fn entries(yaml: &Value) -> impl Iterator<Item = (String, Value)> {
    let mapping = yaml.as_mapping().cloned().unwrap_or_default();
    mapping.into_iter().map(|(key, value)| (key.as_str().unwrap().to_owned(), value))
}

fn texts(yaml: &Value) -> Vec<String> {
    yaml.as_sequence().into_iter().flatten().map(|value| scalar(value).unwrap()).collect()
}

fn scalar(yaml: &Value) -> Option<String> {
    match yaml {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => None,
    }
}
