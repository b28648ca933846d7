//! Addresses: whoever is spoken to exists, listens there, and is in a network with the speaker.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_yaml::Value;
use stack::{
    binaries,
    fleet::{self, Ports},
};

use crate::{
    compose::{self, Compose, Service},
    dockerfile,
    files::path,
};

/// The names of the services.
fn services() -> impl Iterator<Item = &'static str> {
    fleet::Service::ALL.into_iter().map(fleet::Service::name)
}

/// On which ports images that are not ours listen, by what their names contain.
const FOREIGN: [(&str, &[u16]); 9] = [
    ("postgres:", &[5432]),
    ("apache/kafka:", &[9092, 9093]),
    ("kafbat/kafka-ui:", &[8080]),
    ("jaegertracing/jaeger:", &[4317, 13133, 16686]),
    ("prom/prometheus:", &[9090]),
    ("grafana/grafana:", &[3000]),
    ("mongo:", &[27017]),
    ("opensearchproject/opensearch:", &[9200]),
    ("graylog/graylog:", &[9000, 12201, 12202, 12203]),
];

/// The ports that a service listens on.
fn listens(service: &Service) -> Vec<u16> {
    match service.target() {
        Some(target) => dockerfile::stages()[&target].ports.clone(),
        None => {
            let image = service.text("image");
            let found = FOREIGN.iter().find(|(name, _)| image.starts_with(name) || image.contains(&format!("/{name}")));
            found.unwrap_or_else(|| panic!("on which ports does {image} listen?")).1.to_vec()
        }
    }
}

/// The configuration of a service in containers.
pub fn config(service: &str) -> Value {
    let text = fs::read_to_string(path(&format!("deployments/config/{service}/config.yaml"))).unwrap();
    serde_yaml::from_str(&text).unwrap()
}

fn port_of(address: &Value) -> u16 {
    address.as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap()
}

/// Everything that a container is told: variables, command, health check, and files of ours that are mounted.
fn told(service: &Service) -> String {
    let mut told: Vec<_> = service.environment().into_values().collect();
    told.extend(service.list("command"));
    told.extend(service.health().unwrap_or_default());
    if service.target().is_some() && service.runs_once() {
        // The file is that of the service, of which a migration needs the database alone.
        return told.join("\n");
    }
    for mount in service.mounts().iter().filter(|mount| mount.source.starts_with("./config/")) {
        gather(&path("deployments").join(&mount.source), &mut told);
    }
    told.join("\n")
}

/// The lines of the configuration files at a path, without those of rules, which name no addresses.
fn gather(file: &Path, told: &mut Vec<String>) {
    if file.is_dir() {
        let entries = fs::read_dir(file).unwrap().map(|entry| entry.unwrap().path());
        for entry in entries.filter(|entry| !entry.ends_with("rules") && !entry.ends_with("tests")) {
            gather(&entry, told);
        }
    } else if file.extension().is_some_and(|kind| kind != "json") {
        let text = fs::read_to_string(file).unwrap();
        told.extend(text.lines().filter(|line| !line.trim_start().starts_with('#')).map(str::to_owned));
    }
}

/// The names and ports in a text, as in `kafka-1:9092`; numbers and this machine's own name are none.
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
    let mut spoken_to = BTreeSet::new();
    for (name, service) in &compose.services {
        for (host, port) in addresses(&told(service)) {
            let known = compose.services.get(&host).unwrap_or_else(|| panic!("{name} is told of {host}:{port}"));
            assert!(host == *name || compose.share_a_network(name, &host), "{name} cannot reach {host}");
            assert!(listens(known).contains(&port), "{name} is told of {host}:{port}, which does not listen there");
            spoken_to.insert(host);
        }
    }
    // What nobody speaks to, people look at.
    for (name, service) in compose.services.iter().filter(|(_, service)| !service.runs_once()) {
        assert!(spoken_to.contains(name) || !service.ports().is_empty(), "nobody uses {name}");
    }
}

#[test]
fn no_two_containers_share_a_network_that_have_nothing_to_say_to_each_other() {
    let compose = Compose::both();
    let says = |one: &str, other: &str| addresses(&told(&compose.services[one])).iter().any(|(host, _)| host == other);
    for (network, members) in compose.networks.keys().map(|network| {
        let is_member = |service: &Service| service.networks().contains(network);
        let members = compose.services.iter().filter(|(_, service)| is_member(service)).map(|(name, _)| name);
        (network, members.collect::<Vec<_>>())
    }) {
        for member in &members {
            let partner = members.iter().any(|other| other != member && (says(member, other) || says(other, member)));
            let shows = members.len() == 1 && !compose.services[*member].ports().is_empty();
            assert!(partner || shows, "{member} has nobody to speak to in the network {network}");
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
        assert_eq!(port_of(&config["admin"]["listen"]), ports.admin, "{name}: admin.listen");
        assert_eq!(stages[name].ports, [ports.grpc, ports.admin], "{name}: EXPOSE");
        let published: Vec<_> =
            compose.services[name].ports().into_iter().map(|(_, out, inside)| (out, inside)).collect();
        assert_eq!(published, [(ports.grpc, ports.grpc), (ports.admin, ports.admin)], "{name}: ports");
    }
    assert_eq!(stages["stack"].ports, [Ports::DEFAULT.product_service, Ports::DEFAULT.telegram]);
    let publishes =
        |name: &str, port: u16| compose.services[name].ports().iter().any(|(_, outside, _)| *outside == port);
    for (name, port) in [
        ("telegram", Ports::DEFAULT.telegram),
        ("prometheus", Ports::DEFAULT.prometheus),
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
    let text = fs::read_to_string(path("deployments/config/prometheus/prometheus.yml")).unwrap();
    let yaml: Value = serde_yaml::from_str(&text).unwrap();
    let jobs = yaml["scrape_configs"].as_sequence().unwrap().iter();
    let targets: BTreeMap<_, _> = jobs
        .map(|job| (job["job_name"].as_str().unwrap(), job["static_configs"][0]["targets"][0].as_str().unwrap()))
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
        let asked = compose::asked_for(&fs::read_to_string(&file).unwrap());
        assert_eq!(asked, environment.keys().cloned().collect(), "variables {name} asks for, and those it gets");
        let mut command = Command::new(binaries::find(name).unwrap());
        command.env_clear().envs(environment).arg("check-config").arg("--config").arg(&file);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
