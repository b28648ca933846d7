//! What must hold in the compose files: the order of starts, limits, rights, networks, volumes and health checks.

mod first_start;
mod health;
mod volumes;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
    time::Duration,
};

use stack::packages;

use crate::{
    addresses,
    compose::{self, Compose, FILES, Service},
    dockerfile,
    files::{path, text},
};

/// How to get docker-compose.
const INSTALL: &str = "install it (Debian, Ubuntu: sudo apt-get install docker-compose; elsewhere: \
                       https://docs.docker.com/compose/install/)";

/// Settings that each of our containers must have.
const OUR_SETTINGS: [(&str, &str); 2] = [("read_only", "true"), ("user", "65532:65532")];

/// The containers of our own images.
fn ours(compose: &Compose) -> impl Iterator<Item = (&String, &Service)> {
    compose.services.iter().filter(|(_, service)| service.target().is_some())
}

#[test]
fn compose_itself_accepts_both_files_alone_and_together() {
    let program = packages::program("docker-compose", "docker-compose", INSTALL).unwrap();
    for files in [&FILES[..1], &FILES[1..], &FILES[..]] {
        let mut command = Command::new(&program);
        command.current_dir(path(".")).env_clear().env("PATH", std::env::var("PATH").unwrap());
        command.args(["--env-file", compose::VARIABLES]);
        command.args(files.iter().flat_map(|file| ["--file", file])).args(["config", "--services"]);
        let output = command.output().unwrap();
        let (services, complaints) = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).into();
        assert!(output.status.success() && complaints.is_empty(), "{files:?}: {complaints}");
        let seen_by_compose: BTreeSet<_> = services.lines().map(str::to_owned).collect();
        let seen_by_tests: BTreeSet<_> =
            files.iter().flat_map(|file| Compose::read(file).services.into_keys()).collect();
        assert_eq!(seen_by_compose, seen_by_tests, "services of {files:?} that compose sees, and that these tests see");
    }
}

#[test]
fn every_image_is_of_one_version() {
    let compose = Compose::both();
    let foreign = compose.services.values().filter(|service| service.target().is_none());
    let stages = dockerfile::stages();
    let bases = stages.values().map(|stage| stage.from.clone()).filter(|from| !stages.contains_key(from));
    for image in foreign.map(|service| service.text("image")).chain(bases) {
        let (_, version) = image.rsplit_once(':').unwrap_or_else(|| panic!("{image} has no version"));
        let numbers = version.trim_start_matches('v').split(['.', '-']).filter(|part| part.parse::<u32>().is_ok());
        let is_exact = image.contains("@sha256:") && version.len() == 64;
        assert!(is_exact || numbers.count() >= 2, "{image} is not of one version");
    }
}

#[test]
fn every_image_of_ours_is_built_from_a_target_that_is_there() {
    let targets: BTreeSet<_> = dockerfile::stages()
        .into_iter()
        .filter(|(_, stage)| stage.program.is_some())
        .collect::<BTreeMap<_, _>>()
        .into_keys()
        .collect();
    let built: BTreeSet<_> = ours(&Compose::both()).filter_map(|(_, service)| service.target()).collect();
    assert_eq!(built, targets, "targets that compose builds, and targets of the Dockerfile");
    for (name, service) in ours(&Compose::both()) {
        let target = service.target().unwrap();
        assert_eq!(service.text("image"), format!("route256/{target}:local"), "{name}");
        assert_eq!(service.yaml["build"]["dockerfile"], dockerfile::FILE, "{name}");
        assert_eq!(service.yaml["build"]["context"], "..", "{name}");
    }
}

#[test]
fn every_container_is_limited_comes_back_and_bounds_its_log() {
    for (name, service) in Compose::both().services {
        for limit in ["mem_limit", "cpus", "pids_limit"] {
            assert!(!service.yaml[limit].is_null(), "{name} has no {limit}");
        }
        let logging = &service.yaml["logging"]["options"];
        assert!(!logging["max-size"].is_null() && !logging["max-file"].is_null(), "the log of {name} has no bounds");
        let restart = service.text("restart");
        assert!(["no", "unless-stopped"].contains(&restart.as_str()), "{name} restarts {restart}");
        let check = service.health();
        assert_eq!(check.is_none(), service.runs_once(), "{name}: what stays has a health check, what ends has none");
    }
}

#[test]
fn containers_wait_for_what_they_need_in_a_way_that_can_come_true() {
    let compose = Compose::both();
    for (name, service) in &compose.services {
        for (needed, condition) in service.depends_on() {
            let needed_service = compose.services.get(&needed).unwrap_or_else(|| panic!("{name} waits for {needed}"));
            let expected =
                if needed_service.runs_once() { "service_completed_successfully" } else { "service_healthy" };
            assert_eq!(condition, expected, "{name} waits for {needed}");
        }
    }
    // Remove services that wait for nothing that is left. Those of a circle cannot be removed.
    let mut left = compose.services.clone();
    while let Some(name) = left
        .iter()
        .find(|(_, service)| service.depends_on().keys().all(|needed| !left.contains_key(needed)))
        .map(|(name, _)| name.clone())
    {
        left.remove(&name);
    }
    assert!(left.is_empty(), "{:?} wait for each other", left.keys());
}

#[test]
fn containers_of_ours_may_do_nothing_that_they_need_not() {
    let compose = Compose::both();
    for (name, service) in ours(&compose) {
        for (key, value) in OUR_SETTINGS {
            assert_eq!(service.text(key), value, "{name}: {key}");
        }
        assert_eq!(service.list("cap_drop"), ["ALL"], "{name}");
        assert_eq!(service.list("security_opt"), ["no-new-privileges:true"], "{name}");
        assert!(service.yaml["cap_add"].is_null() && service.yaml["privileged"].is_null(), "{name}");
        let writes = service.mounts().into_iter().filter(|mount| !mount.is_read_only);
        let written: Vec<_> = writes.map(|mount| mount.target).collect();
        assert_eq!(written, if name == "certs" { vec!["/certs"] } else { vec![] }, "what {name} may write to");
        assert_eq!(dockerfile::stages()[&service.target().unwrap()].user, "65532:65532", "{name}");
    }
}

#[test]
fn what_is_published_is_for_this_machine_alone_and_nothing_is_published_twice() {
    let compose = Compose::both();
    let mut published = BTreeMap::new();
    for (name, service) in &compose.services {
        for (interface, outside, _) in service.ports() {
            assert_eq!(interface, "127.0.0.1", "{name} publishes {outside}");
            if let Some(other) = published.insert(outside, name) {
                panic!("{name} and {other} both publish {outside}");
            }
        }
        // A port can be published only through a network that is not internal.
        let outward = service.networks().iter().any(|network| compose.networks[network]["internal"].is_null());
        assert!(service.ports().is_empty() || outward, "{name} is in internal networks only");
    }
    assert!(!published.is_empty());
}

#[test]
fn networks_and_volumes_are_those_that_are_declared() {
    for compose in FILES.map(Compose::read) {
        let used: BTreeSet<_> = compose.services.values().flat_map(Service::networks).collect();
        assert_eq!(used, compose.networks.keys().cloned().collect(), "networks in use, and networks declared");
        let mounts = compose.services.values().flat_map(Service::mounts);
        let (paths, named): (Vec<_>, Vec<_>) = mounts.partition(|mount| mount.source.starts_with('.'));
        let named: BTreeSet<_> = named.into_iter().map(|mount| mount.source).collect();
        assert_eq!(named, compose.volumes, "volumes in use, and volumes declared");
        for mount in paths {
            assert!(path("deployments").join(&mount.source).exists(), "{} is mounted and is not there", mount.source);
            assert!(mount.is_read_only, "{} could be written to", mount.source);
        }
    }
    let [fleet, logs] = FILES.map(|file| Compose::read(file).networks["logs"].clone());
    assert_eq!(fleet, logs, "the network that both files declare");
}

#[test]
fn a_container_of_ours_is_asked_for_its_health_by_its_own_program_and_has_time_to_stop() {
    let (compose, stages) = (Compose::both(), dockerfile::stages());
    for (name, service) in ours(&compose).filter(|(_, service)| !service.runs_once()) {
        let stage = &stages[&service.target().unwrap()];
        let check = service.health().unwrap();
        let (program, place) = stage.program.clone().unwrap();
        assert_eq!(check[0], place, "{name} is asked by its own program");
        if program == "stack" {
            continue;
        }
        assert_eq!(check, stage.health, "{name}: the check of compose, and that of the image");
        let own_period = compose::seconds(text(&addresses::config(name)["shutdown"]["grace_period"]));
        assert!(service.stop_grace_period() > own_period + Duration::from_secs(3), "{name} is cut off");
    }
}

#[test]
fn an_event_is_kept_by_three_brokers_and_acknowledged_by_two() {
    let compose = Compose::both();
    let brokers: Vec<_> =
        compose.services.iter().filter(|(_, service)| service.text("image").contains("/kafka:")).collect();
    assert_eq!(brokers.len(), 3);
    let tested = fs::read_to_string(path("stack/apache-kafka/pom.xml")).unwrap();
    for (name, broker) in brokers {
        let image = broker.text("image");
        let version = image.rsplit(':').next().unwrap();
        assert!(
            tested.contains(&format!("<kafka.version>{version}<")),
            "{name} is of another version than tests run on"
        );
        let environment = broker.environment();
        let number = name.strip_prefix("kafka-").unwrap();
        assert_eq!(environment["KAFKA_NODE_ID"], number);
        assert_eq!(environment["KAFKA_ADVERTISED_LISTENERS"], format!("PLAINTEXT://{name}:9092"));
        assert!(environment["KAFKA_CONTROLLER_QUORUM_VOTERS"].contains(&format!("{number}@{name}:9093")), "{name}");
        for (variable, value) in [
            ("KAFKA_DEFAULT_REPLICATION_FACTOR", "3"),
            ("KAFKA_MIN_INSYNC_REPLICAS", "2"),
            ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "3"),
            ("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false"),
        ] {
            assert_eq!(environment[variable], value, "{name}: {variable}");
        }
    }
}
