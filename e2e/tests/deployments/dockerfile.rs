//! Reads from the Dockerfile how our images run.

use std::{collections::BTreeMap, fs};

use crate::files::path;

pub const FILE: &str = "deployments/Dockerfile";

/// A stage, with all that it inherits.
#[derive(Debug, Clone, Default)]
pub struct Stage {
    /// The image or the stage that it inherits from.
    pub from: String,
    pub entrypoint: Vec<String>,
    /// The default arguments of the entrypoint.
    pub command: Vec<String>,
    /// The command of the health check.
    pub health: Vec<String>,
    pub user: String,
    pub ports: Vec<u16>,
    /// Our program in this image: its name and its path.
    pub program: Option<(String, String)>,
}

/// The stages, by name.
pub fn stages() -> BTreeMap<String, Stage> {
    let text = fs::read_to_string(path(FILE)).unwrap().replace("\\\n", " ");
    let mut stages = BTreeMap::<String, Stage>::new();
    let mut name = String::new();
    for line in text.lines().map(str::trim) {
        let (instruction, rest) = line.split_once(' ').unwrap_or((line, ""));
        if instruction == "FROM" {
            let (from, as_name) = rest.split_once(" AS ").expect("every stage has a name");
            let inherited = stages.get(from).cloned().unwrap_or_default();
            name = as_name.to_owned();
            stages.insert(name.clone(), Stage { from: from.to_owned(), ..inherited });
            continue;
        }
        let Some(stage) = stages.get_mut(&name) else { continue };
        match instruction {
            "ENTRYPOINT" => stage.entrypoint = serde_json::from_str(rest).unwrap(),
            "CMD" => stage.command = serde_json::from_str(rest).unwrap(),
            "HEALTHCHECK" => stage.health = serde_json::from_str(rest.split_once(" CMD ").unwrap().1).unwrap(),
            "USER" => stage.user = rest.to_owned(),
            "EXPOSE" => stage.ports = rest.split(' ').map(|port| port.parse().unwrap()).collect(),
            "COPY" if rest.contains("/target/release/") => {
                let parts: Vec<_> = rest.split(' ').collect();
                let [.., built, place] = parts[..] else { panic!("{line}") };
                let program = built.rsplit('/').next().unwrap();
                stage.program = Some((program.to_owned(), place.to_owned()));
            }
            _ => {}
        }
    }
    stages
}
