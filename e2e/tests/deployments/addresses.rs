//! Addresses in the configuration: the container exists, listens on the port, and is in a network with the caller.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::Value;
use stack::{
    binaries,
    fleet::{self, Ports},
};

use crate::{
    compose::{self, Compose, Service},
    dockerfile,
    files::{list, path, text, yaml},
};

fn services() -> impl Iterator<Item = &'static str> {
    fleet::Service::ALL.into_iter().map(fleet::Service::name)
}

/// The ports that images of others listen on, by the beginning of their names.
const FOREIGN_PORTS: [(&str, &[u16]); 10] = [
    ("postgres:", &[5432]),
    ("apache/kafka:", &[9092, 9093]),
    ("kafbat/kafka-ui:", &[8080]),
    ("jaegertracing/jaeger:", &[4317, 13133, 16686]),
    ("prom/prometheus:", &[9090]),
    ("prom/alertmanager:", &[9093]),
    ("grafana/grafana:", &[3000]),
    ("mongo:", &[27017]),
    ("opensearchproject/opensearch:", &[9200]),
    ("graylog/graylog:", &[9000, 12201, 12202, 12203]),
];

/// The ports that a container listens on.
fn listening_ports(service: &Service) -> Vec<u16> {
    match service.target() {
        Some(target) => dockerfile::stages()[&target].ports.clone(),
        None => {
            let image = service.text("image");
            let is_image = |name: &str| image.starts_with(name) || image.contains(&format!("/{name}"));
            let known = FOREIGN_PORTS.iter().find(|(name, _)| is_image(name));
            known.unwrap_or_else(|| panic!("on which ports does {image} listen?")).1.to_vec()
        }
    }
}

/// The configuration of a service in containers.
pub fn config(service: &str) -> Value {
    yaml(&path(&format!("deployments/config/{service}/config.yaml")))
}

fn port_of(address: &Value) -> u16 {
    text(address).rsplit_once(':').unwrap().1.parse().unwrap()
}

/// All settings of a container, as text: variables, command, health check, and our files that are mounted.
fn settings(service: &Service) -> String {
    let mut lines: Vec<_> = service.environment().into_values().collect();
    lines.extend(service.list("command"));
    lines.extend(service.health().unwrap_or_default());
    if service.target().is_some() && service.runs_once() {
        // A migration has the configuration file of its service, but uses only the address of the database.
        return lines.join("\n");
    }
    for mount in service.mounts().iter().filter(|mount| mount.source.starts_with("./config/")) {
        add_lines(&path("deployments").join(&mount.source), &mut lines);
    }
    lines.join("\n")
}

/// Adds the lines of the configuration files at a path, without rules, which name no addresses.
fn add_lines(file: &Path, lines: &mut Vec<String>) {
    if file.is_dir() {
        let entries = fs::read_dir(file).unwrap().map(|entry| entry.unwrap().path());
        for entry in entries.filter(|entry| !entry.ends_with("rules") && !entry.ends_with("tests")) {
            add_lines(&entry, lines);
        }
    } else if file.extension().is_some_and(|extension| extension != "json") {
        let text = fs::read_to_string(file).unwrap();
        lines.extend(text.lines().filter(|line| !line.trim_start().starts_with('#')).map(str::to_owned));
    }
}

/// The names and ports in a text, such as `kafka-1:9092`, without IP addresses and `localhost`.
fn addresses(text: &str) -> BTreeSet<(String, u16)> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && !":-._".contains(letter));
    let address = |word: &str| {
        let (host, port) = word.split_once(':')?;
        let is_name = host.starts_with(|letter: char| letter.is_ascii_lowercase()) && host != "localhost";
        is_name.then(|| Some((host.to_owned(), port.parse().ok()?))).flatten()
    };
    words.filter_map(address).collect()
}

#[test]
fn whoever_a_container_is_told_of_is_in_its_networks_and_listens_there() {
    let compose = Compose::both();
    let mut called = BTreeSet::new();
    for (name, service) in &compose.services {
        for (host, port) in addresses(&settings(service)) {
            let known = compose.services.get(&host).unwrap_or_else(|| panic!("{name} is told of {host}:{port}"));
            assert!(host == *name || compose.share_a_network(name, &host), "{name} cannot reach {host}");
            assert!(
                listening_ports(known).contains(&port),
                "{name} is told of {host}:{port}, which does not listen there"
            );
            called.insert(host);
        }
    }
    // A container that no other one calls must be there for people.
    for (name, service) in compose.services.iter().filter(|(_, service)| !service.runs_once()) {
        assert!(called.contains(name) || !service.ports().is_empty(), "nobody uses {name}");
    }
}

#[test]
fn no_two_containers_share_a_network_that_have_nothing_to_say_to_each_other() {
    let compose = Compose::both();
    let calls = |caller: &str, called: &str| {
        addresses(&settings(&compose.services[caller])).iter().any(|(host, _)| host == called)
    };
    for (network, members) in compose.networks.keys().map(|network| {
        let is_member = |service: &Service| service.networks().contains(network);
        let members = compose.services.iter().filter(|(_, service)| is_member(service)).map(|(name, _)| name);
        (network, members.collect::<Vec<_>>())
    }) {
        for member in &members {
            let has_partner =
                members.iter().any(|other| other != member && (calls(member, other) || calls(other, member)));
            let is_published = members.len() == 1 && !compose.services[*member].ports().is_empty();
            assert!(has_partner || is_published, "{member} has nobody to speak to in the network {network}");
        }
    }
}

#[test]
fn services_listen_and_are_published_where_the_fleet_is_known() {
    let (compose, stages) = (Compose::both(), dockerfile::stages());
    for service in fleet::Service::ALL {
        let (name, ports) = (service.name(), Ports::DEFAULT.service(service));
        let config = config(name);
        assert_eq!(port_of(&config["grpc"]["listen"]), ports.grpc, "{name}: grpc.listen");
        assert_eq!(port_of(&config["http"]["listen"]), ports.http, "{name}: http.listen");
        assert_eq!(port_of(&config["admin"]["listen"]), ports.admin, "{name}: admin.listen");
        let ports = [ports.grpc, ports.http, ports.admin];
        assert_eq!(stages[name].ports, ports, "{name}: EXPOSE");
        let published: Vec<_> =
            compose.services[name].ports().into_iter().map(|(_, out, inside)| (out, inside)).collect();
        assert_eq!(published, ports.map(|port| (port, port)), "{name}: ports");
    }
    assert_eq!(stages["stack"].ports, [Ports::DEFAULT.product_service, Ports::DEFAULT.telegram]);
    let publishes =
        |name: &str, port: u16| compose.services[name].ports().iter().any(|(_, outside, _)| *outside == port);
    for (name, port) in [
        ("telegram", Ports::DEFAULT.telegram),
        ("prometheus", Ports::DEFAULT.prometheus),
        ("alertmanager", Ports::DEFAULT.alertmanager),
        ("jaeger", Ports::DEFAULT.jaeger),
        ("jaeger", Ports::DEFAULT.jaeger_otlp),
        ("grafana", Ports::DEFAULT.grafana),
    ] {
        assert!(publishes(name, port), "{name} is not published on {port}, where a local fleet has it");
    }
}

#[test]
fn nothing_else_is_published_where_a_local_fleet_listens() {
    let compose = Compose::both();
    let taken = [Ports::DEFAULT.postgres, Ports::DEFAULT.broker, Ports::DEFAULT.product_service];
    for (name, service) in &compose.services {
        for (_, outside, _) in service.ports() {
            assert!(!taken.contains(&outside), "{name} is published on {outside}, a local fleet's");
        }
    }
}

#[test]
fn prometheus_asks_every_service_at_its_port_for_operators() {
    let jobs = list(&yaml(&path("deployments/config/prometheus/prometheus.yml"))["scrape_configs"]);
    let targets: BTreeMap<_, _> = jobs
        .iter()
        .map(|job| (text(&job["job_name"]), text(&job["static_configs"][0]["targets"][0])))
        .filter(|(job, _)| *job != "prometheus")
        .collect();
    let admin: BTreeMap<_, _> =
        services().map(|name| (name, format!("{name}:{}", port_of(&config(name)["admin"]["listen"])))).collect();
    assert_eq!(targets, admin.iter().map(|(name, target)| (*name, target.as_str())).collect());
}

#[test]
fn graylog_has_an_input_where_each_service_sends_its_log() {
    let script = fs::read_to_string(path("deployments/config/graylog/inputs.sh")).unwrap();
    let created = script.lines().filter_map(|line| line.strip_prefix("create ")?.split_once(' '));
    let inputs: BTreeMap<_, _> = created.map(|(name, port)| (name.to_owned(), port.parse::<u16>().unwrap())).collect();
    let sent: BTreeMap<_, _> =
        services().map(|name| (name.to_owned(), port_of(&config(name)["graylog"]["address"]))).collect();
    assert_eq!(inputs, sent, "inputs that are created, and where services send their logs");
    let examples = services().map(|name| {
        let example = fs::read_to_string(path(&format!("{name}/config.example.yaml"))).unwrap();
        let address = example.lines().skip_while(|line| *line != "# graylog:").nth(1).unwrap();
        (name.to_owned(), address.rsplit_once(':').unwrap().1.parse::<u16>().unwrap())
    });
    assert_eq!(inputs, examples.collect(), "inputs that are created, and those in the examples");
    let graylog = &Compose::both().services["graylog"];
    let published: BTreeSet<_> = graylog.ports().into_iter().map(|(_, outside, inside)| (outside, inside)).collect();
    let expected = inputs.values().map(|port| (*port, *port)).chain([(7555, 9000)]).collect();
    assert_eq!(published, expected, "what Graylog publishes");
}

#[test]
fn services_accept_their_configuration_and_need_exactly_the_variables_that_they_get() {
    let compose = Compose::both();
    for name in services() {
        let environment = compose.services[name].environment();
        let file = path(&format!("deployments/config/{name}/config.yaml"));
        let asked = compose::variables_in(&fs::read_to_string(&file).unwrap());
        assert_eq!(asked, environment.keys().cloned().collect(), "variables {name} asks for, and those it gets");
        let mut command = Command::new(binaries::find(name).unwrap());
        command.env_clear().envs(environment).arg("check-config").arg("--config").arg(&file);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
