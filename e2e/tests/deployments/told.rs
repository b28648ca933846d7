//! README, Makefile and the example of variables name only what exists, and all that people need.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use stack::fleet::{self, Ports};

use crate::{
    compose::{self, Compose, FILES, Service},
    files::path,
};

/// Variables that the script `deployments/containers` sets.
const SET_BY_SCRIPT: [&str; 1] = ["BUILD_REVISION"];

/// Variables that compose itself reads.
const READ_BY_COMPOSE: [&str; 2] = ["COMPOSE_PROJECT_NAME", "COMPOSE_IGNORE_ORPHANS"];

/// Files that commands make.
const GENERATED: [&str; 3] = ["deployments/.env", "deployments/certs", "deployments/certs/ca.pem"];

fn read(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap()
}

/// The code in a Markdown text: the lines of code blocks, and the words between backticks.
fn code(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut is_block = false;
    for line in text.lines() {
        if line.starts_with("```") {
            is_block = !is_block;
        } else if is_block {
            lines.push(line.split(" # ").next().unwrap().to_owned());
        } else {
            lines.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    lines
}

/// Each target of the Makefile, and whether `make help` shows it.
fn targets() -> BTreeMap<String, bool> {
    let makefile = read("Makefile");
    let rules = makefile.lines().filter(|line| line.starts_with(|letter: char| letter.is_ascii_lowercase()));
    rules
        .filter_map(|line| Some((line.split_once(':')?.0.to_owned(), line.contains(" ## "))))
        .filter(|(name, _)| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
        .collect()
}

/// The targets of make in a Markdown text.
fn make_targets(text: &str) -> BTreeSet<String> {
    let code = code(text);
    let after_make = code.iter().flat_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let pairs: Vec<_> = words.windows(2).filter(|pair| pair[0] == "make").map(|pair| pair[1].to_owned()).collect();
        pairs
    });
    after_make.map(|word| word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric()).to_owned()).collect()
}

#[test]
fn every_target_that_people_are_told_of_is_there_and_all_that_are_theirs_are_told_of() {
    let targets = targets();
    let docs = fs::read_dir(path("docs")).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    for text in docs.chain([read("README.md"), read("deployments/example.env")]) {
        for target in make_targets(&text) {
            assert!(targets.contains_key(&target), "there is no `make {target}`");
        }
    }
    let told = make_targets(&read("README.md"));
    for (target, _) in targets.iter().filter(|(_, is_shown)| **is_shown) {
        assert!(told.contains(target), "the README does not tell of `make {target}`");
    }
}

#[test]
fn every_port_that_people_are_told_of_is_published_and_all_that_are_published_are_told_of() {
    let readme = read("README.md");
    let services = Compose::both().services;
    let published: BTreeSet<_> = services.values().flat_map(Service::ports).map(|(_, outside, _)| outside).collect();
    for port in &published {
        let told = readme.split(|letter: char| !letter.is_ascii_digit()).any(|word| word == port.to_string());
        assert!(told, "the README does not tell of port {port}");
    }
    let local = [Ports::DEFAULT.postgres, Ports::DEFAULT.broker, Ports::DEFAULT.product_service];
    for text in [&readme, &read("deployments/example.env"), &read("deployments/containers")] {
        let hosts = text.split("localhost:").skip(1).chain(text.split("127.0.0.1:").skip(1));
        for port in hosts.filter_map(|rest| rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()) {
            assert!(published.contains(&port) || local.contains(&port), "nothing listens on {port}");
        }
    }
}

#[test]
fn variables_are_explained_once_and_used() {
    let example = read(compose::VARIABLES);
    let used: BTreeSet<_> = FILES.iter().flat_map(|file| compose::variables_in(&read(file))).collect();
    let told: BTreeSet<_> = compose::variables().into_keys().collect();
    let script = read("deployments/containers");
    for variable in SET_BY_SCRIPT {
        assert!(script.contains(&format!("export {variable}")), "no script gives {variable} to compose");
    }
    let asked = used.into_iter().filter(|name| !SET_BY_SCRIPT.contains(&name.as_str()));
    let expected = asked.chain(READ_BY_COMPOSE.map(str::to_owned)).collect();
    assert_eq!(told, expected, "variables of {}, and those that compose asks for", compose::VARIABLES);
    let lines: Vec<_> = example.lines().collect();
    assert_eq!(lines.iter().filter(|line| line.contains('=') && !line.starts_with('#')).count(), told.len());
    let unexplained: Vec<_> = example.split("\n\n").filter(|block| !block.starts_with('#')).collect();
    assert!(unexplained.is_empty(), "nothing explains {unexplained:?}");
}

#[test]
fn the_password_of_graylog_and_its_hash_in_the_example_belong_together() {
    let variables = compose::variables();
    let hash = format!("printf %s '{}' | sha256sum | cut -d ' ' -f 1", variables["GRAYLOG_ROOT_PASSWORD"]);
    let output = Command::new("sh").args(["-c", &hash]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), variables["GRAYLOG_ROOT_PASSWORD_SHA2"]);
    assert!(variables["GRAYLOG_PASSWORD_SECRET"].len() >= 16, "Graylog does not start with a shorter one");
}

#[test]
fn every_file_that_the_readme_names_is_there() {
    let services = fleet::Service::ALL.map(|service| format!("{}/", service.name()));
    let places = ["deployments/", "docs/", "migrations/", "stack/", "proto/"].into_iter();
    let places: Vec<_> = places.chain(services.iter().map(String::as_str)).collect();
    for line in code(&read("README.md")) {
        let words = line.split(|letter: char| letter.is_whitespace() || "\"'(),;=".contains(letter));
        for word in words.map(|word| word.trim_start_matches("./").trim_end_matches(['.', ':', '/'])) {
            let is_path = places.iter().any(|place| word.starts_with(place)) && !word.contains(['*', '$', '<', '{']);
            let is_generated =
                GENERATED.contains(&word) || word.ends_with("/config.yaml") || word.starts_with("deployments/certs");
            assert!(!is_path || is_generated || path(word).exists(), "the README names {word}");
        }
    }
}

#[test]
fn every_command_to_compose_in_the_readme_names_a_service() {
    let services = Compose::both().services;
    let mut told = 0;
    for line in code(&read("README.md")) {
        let Some((_, command)) = line.split_once("deployments/containers compose ") else { continue };
        told += 1;
        let mut words = command.split_whitespace().filter(|word| !word.starts_with('-'));
        let verb = words.next().unwrap();
        assert!(["run", "exec", "logs", "restart", "ps", "stop", "up"].contains(&verb), "{line}");
        if let Some(service) = words.next() {
            assert!(services.contains_key(service), "there is no service {service}: {line}");
        }
    }
    assert!(told > 0, "the README tells of no command to compose");
}

#[test]
fn every_variable_that_the_readme_names_is_known_somewhere() {
    let mut known = read("Makefile") + &read(compose::VARIABLES);
    for file in FILES {
        known += &read(file);
    }
    for service in fleet::Service::ALL.map(fleet::Service::name) {
        known += &read(&format!("{service}/config.example.yaml"));
    }
    for line in code(&read("README.md")) {
        let words = line.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        for word in words.filter(|word| *word == line || line.contains(&format!("{word}="))) {
            let is_variable = word.contains('_') && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            assert!(!is_variable || known.contains(word), "nothing knows {word}");
        }
    }
}
