//! The compose files and what they are told, read as compose reads them: anchors merged, variables put in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_yaml::Value;

use crate::files::path;

/// The file of the fleet, and that of Graylog.
pub const FILES: [&str; 2] = ["deployments/docker-compose.yaml", "deployments/docker-compose.logs.yaml"];

/// The file that people copy to `deployments/.env`.
pub const VARIABLES: &str = "deployments/example.env";

/// One compose file, or both as the one project that they are.
pub struct Compose {
    /// By name.
    pub services: BTreeMap<String, Service>,
    /// By name, with their definition.
    pub networks: BTreeMap<String, Value>,
    /// The named volumes that are declared.
    pub volumes: BTreeSet<String>,
}

/// A service of a compose file.
#[derive(Clone)]
pub struct Service {
    /// Its definition.
    pub yaml: Value,
}

/// Something mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// A named volume, or a path relative to `deployments/`, which begins with a dot.
    pub source: String,
    /// Where it is in the container.
    pub target: String,
    /// Whether the container may only read it.
    pub is_read_only: bool,
}

impl Compose {
    /// One file, with the variables of the example.
    pub fn read(file: &str) -> Self {
        Self::read_with(file, &variables())
    }

    /// One file, with these variables.
    pub fn read_with(file: &str, variables: &BTreeMap<String, String>) -> Self {
        let text = fs::read_to_string(path(file)).unwrap();
        let mut yaml: Value = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        // Each time, one level of what is merged into what is merged.
        for _ in 0..4 {
            yaml.apply_merge().unwrap_or_else(|error| panic!("{file}: {error}"));
        }
        put_in(&mut yaml, variables);
        let services = entries(&yaml["services"]).map(|(name, yaml)| (name, Service { yaml })).collect();
        let volumes = entries(&yaml["volumes"]).map(|(name, _)| name).collect();
        Self { services, networks: entries(&yaml["networks"]).collect(), volumes }
    }

    /// Both files.
    pub fn both() -> Self {
        let [mut both, logs] = FILES.map(Self::read);
        for (name, service) in logs.services {
            assert!(both.services.insert(name.clone(), service).is_none(), "both files have a service {name}");
        }
        both.networks.extend(logs.networks);
        both.volumes.extend(logs.volumes);
        both
    }

    /// Whether two services can reach each other.
    pub fn share_a_network(&self, one: &str, other: &str) -> bool {
        let [one, other] = [one, other].map(|name| self.services[name].networks());
        one.intersection(&other).next().is_some()
    }
}

impl Service {
    /// Whether its image is built from our Dockerfile; answers the target.
    pub fn target(&self) -> Option<String> {
        self.yaml["build"]["target"].as_str().map(str::to_owned)
    }

    /// Whether it does its work and ends.
    pub fn runs_once(&self) -> bool {
        self.text("restart") == "no"
    }

    /// The value of a key that must be there.
    pub fn text(&self, key: &str) -> String {
        scalar(&self.yaml[key]).unwrap_or_else(|| panic!("{key} is missing in {:?}", self.yaml))
    }

    /// A list of texts that may be left out.
    pub fn list(&self, key: &str) -> Vec<String> {
        texts(&self.yaml[key])
    }

    /// The command of its health check, without the word that says how it is run.
    pub fn health(&self) -> Option<Vec<String>> {
        let test = texts(&self.yaml["healthcheck"]["test"]);
        test.split_first().map(|(_, command)| command.to_vec())
    }

    /// The variables it is given.
    pub fn environment(&self) -> BTreeMap<String, String> {
        entries(&self.yaml["environment"]).map(|(name, value)| (name, scalar(&value).unwrap())).collect()
    }

    /// The networks it is in.
    pub fn networks(&self) -> BTreeSet<String> {
        self.list("networks").into_iter().collect()
    }

    /// Whom it waits for, and until when.
    pub fn depends_on(&self) -> BTreeMap<String, String> {
        let condition = |value: Value| value["condition"].as_str().unwrap().to_owned();
        entries(&self.yaml["depends_on"]).map(|(name, value)| (name, condition(value))).collect()
    }

    /// What is published: the interface, the port there, and the port of the container.
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

    /// What is mounted.
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

/// The variables of the example, as compose reads them.
pub fn variables() -> BTreeMap<String, String> {
    let text = fs::read_to_string(path(VARIABLES)).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once('=').unwrap()).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The names of the variables that a text asks for: `${NAME}` and `${NAME:...}`.
pub fn asked_for(text: &str) -> BTreeSet<String> {
    let rest = text.split("${").skip(1);
    rest.map(|rest| rest.split(['}', ':']).next().unwrap().to_owned()).collect()
}

/// Replaces `${NAME}`, `${NAME:-default}` and `${NAME:?what is wrong without it}`.
fn put_in(yaml: &mut Value, variables: &BTreeMap<String, String>) {
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
        Value::Sequence(values) => values.iter_mut().for_each(|value| put_in(value, variables)),
        Value::Mapping(values) => values.values_mut().for_each(|value| put_in(value, variables)),
        Value::Tagged(tagged) => put_in(&mut tagged.value, variables),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The entries of a mapping that may be left out.
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
