//! Every place that lists the services lists all of them.

use std::fs;

use stack::fleet::{self, Facts, ServicePorts};

use crate::{
    compose::Compose,
    files::{files_in, path},
};

/// Files that say how many services there are.
const FILES_WITH_NUMBERS: [&str; 6] = [
    "README.md",
    "deployments/config/graylog/inputs.sh",
    "deployments/config/prometheus/prometheus.yml",
    "deployments/config/prometheus/rules/services.yml",
    "docs/architecture.md",
    "docs/logging.md",
];

const NUMBERS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

/// A service of the workspace.
struct Service {
    /// The name of its folder, its program and its containers.
    name: String,
    /// The beginning of its variables.
    upper: String,
    /// The variable with the address of its database.
    database: String,
    /// Its ports, and the port of its input in Graylog.
    grpc: String,
    http: String,
    admin: String,
    gelf: String,
}

impl Service {
    fn new(name: &str) -> Self {
        let (name, upper) = (name.to_owned(), name.to_uppercase());
        let Some(known) = fleet::Service::ALL.into_iter().find(|service| service.name() == name) else {
            let [grpc, http, admin, gelf] = ["gRPC", "HTTP", "admin", "GELF"].map(|port| format!("<{port} port>"));
            return Self { database: format!("{upper}_POSTGRES_URL"), name, upper, grpc, http, admin, gelf };
        };
        let Facts { ports: ServicePorts { grpc, http, admin }, graylog_port, database_variable, .. } = known.facts();
        let [grpc, http, admin, gelf] = [grpc, http, admin, graylog_port].map(|port| port.to_string());
        Self { name, upper, database: database_variable.to_owned(), grpc, http, admin, gelf }
    }

    /// Files and folders that every service has.
    fn files(&self) -> Vec<String> {
        let name = &self.name;
        vec![
            format!("{name}/build.rs"),
            format!("{name}/config.example.yaml"),
            format!("migrations/{name}"),
            format!("deployments/config/{name}/config.yaml"),
            format!("deployments/config/grafana/dashboards/{name}.json"),
            format!("deployments/config/prometheus/rules/{name}.yml"),
        ]
    }

    /// Files that list services, each with a line that must be there; `…` is any text.
    fn lines(&self) -> Vec<(&'static str, String)> {
        let Self { name, upper, database, grpc, http, admin, gelf } = self;
        let prefix = database.trim_end_matches("POSTGRES_URL");
        vec![
            (".dockerignore", format!("!{name}")),
            (".gitignore", format!("/{name}/config.yaml")),
            ("Makefile", format!("DATABASES := …{name}:{database}")),
            ("Makefile", format!("migrate: …{prefix}")),
            ("Makefile", format!("@case \"$(service)\" in …{name}…) ;;")),
            ("README.md", format!("- **{name}**")),
            ("README.md", format!("{name} --- pg")),
            ("README.md", format!("| {name} | {grpc} | {http} | {admin} |")),
            ("README.md", format!("…{name}'")),
            ("README.md", format!("| …{name}…| gRPC on …{grpc}…HTTP/JSON on …{http}…{admin}")),
            ("README.md", format!("| its GELF inputs | …{gelf} {name}")),
            ("README.md", format!("…`{name}`…`{gelf}`")),
            ("README.md", format!("…`{upper}_CONFIG`")),
            ("README.md", format!("export …{database}=")),
            ("README.md", format!("| …`{name}/`…| the services |")),
            ("certs/README.md", format!("- …`{name}`")),
            ("deployments/Dockerfile", format!("FROM runtime AS {name}")),
            ("deployments/config/graylog/inputs.sh", format!("create {name} {gelf}")),
            ("deployments/config/prometheus/prometheus.yml", format!("- job_name: {name}")),
            ("deployments/config/prometheus/prometheus.yml", format!("- targets: [\"{name}:{admin}\"]")),
            ("deployments/config/prometheus/rules/services.yml", format!("…absent(up{{job=\"{name}\"}})")),
            ("deployments/containers", format!("services build …{name}")),
            ("deployments/containers", format!("healthy …{name}")),
            (
                "deployments/containers",
                format!("{name} …localhost:{grpc} …localhost:{http}/docs …localhost:{admin}/metrics"),
            ),
            ("deployments/containers", format!("docker image rm …route256/{name}:local")),
            ("deployments/docker-compose.logs.yaml", format!("# The inputs: …{name}")),
            ("deployments/example.env", format!("{upper}_POSTGRES_PASSWORD=")),
            ("deployments/example.env", format!("{upper}_CONFIG_FILE=./config/{name}/config.yaml")),
            ("docs/architecture.md", format!("| …`{name}/`…| the services |")),
            ("docs/api.md", format!("| {name} | {grpc} | {http} |")),
            ("docs/logging.md", format!("grep -h …{name}")),
            ("docs/logging.md", format!("| `service` | text | …`{name}`")),
            ("docs/metrics.md", format!("## {name}")),
            ("docs/runbook.md", format!("## {name}")),
            ("docs/runbook.md", format!("grep -h …{name}")),
            ("docs/runbook.md", format!("…{admin}")),
            ("migrations/queries", format!("for service in …{name}:{database}")),
            ("stack/src/demo/lookup.rs", format!("let logs = …&fleet.{name}")),
            ("stack/src/up.rs", format!("/// Send logs to this Graylog…{name}'…{gelf}")),
        ]
    }

    /// The places where this service is missing.
    fn missing(&self) -> Vec<String> {
        let name = &self.name;
        let mut missing: Vec<_> = self.files().into_iter().filter(|file| !path(file).exists()).collect();
        for (file, line) in self.lines() {
            let text = fs::read_to_string(path(file)).unwrap();
            if !text.lines().any(|other| is_like(other, &line)) {
                missing.push(format!("{file}: a line such as {line}"));
            }
        }
        let containers = Compose::both().services;
        for container in [name.clone(), format!("{name}-migrate"), format!("postgres-{name}")] {
            if !containers.contains_key(&container) {
                missing.push(format!("deployments/docker-compose.yaml: a service {container}"));
            }
        }
        for (file, list) in job_lists().into_iter().filter(|(_, list)| !list.split('|').any(|job| job == name)) {
            missing.push(format!("{file}: {name} in {list}"));
        }
        if !fleet::Service::ALL.iter().any(|service| service.name() == name) {
            missing.push(format!("stack/src/fleet/service.rs: {name} in Service::ALL"));
        }
        missing
    }
}

fn services() -> Vec<Service> {
    let manifest = fs::read_to_string(path("Cargo.toml")).unwrap();
    let (_, members) = manifest.split_once("\nmembers = [").unwrap();
    let (members, _) = members.split_once(']').unwrap();
    let members = members.split('"').skip(1).step_by(2);
    let main = |member: &str| fs::read_to_string(path(member).join("src/main.rs")).unwrap_or_default();
    members.filter(|member| main(member).contains("platform::cli::main")).map(Service::new).collect()
}

/// Whether a line begins like this, in upper or lower case.
fn is_like(line: &str, beginning: &str) -> bool {
    let (line, beginning) = (line.trim_start().to_lowercase(), beginning.to_lowercase());
    let mut parts = beginning.split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    parts.all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

/// The lists of jobs in rules and panels, as in `job=~"one|other"`: the file and the list.
fn job_lists() -> Vec<(String, String)> {
    let directories = ["deployments/config/prometheus/rules", "deployments/config/grafana/dashboards"];
    let files = directories.into_iter().flat_map(files_in);
    let lists = files.flat_map(|file| {
        let text = fs::read_to_string(&file).unwrap();
        let lists = text.split("job=~").skip(1).map(|rest| rest.trim_start_matches(['\\', '"']));
        let lists = lists.map(|rest| rest.split(['\\', '"']).next().unwrap().to_owned());
        let file = file.strip_prefix(path("")).unwrap().display().to_string();
        lists.map(|list| (file.clone(), list)).collect::<Vec<_>>()
    });
    lists.filter(|(_, list)| list.contains('|')).collect()
}

/// The places with a wrong number of services.
fn miscounted(count: usize) -> Vec<String> {
    let mut miscounted = Vec::new();
    let is_wrong = |word: &str| NUMBERS.contains(&word) && word != NUMBERS[count];
    for file in FILES_WITH_NUMBERS {
        let text = fs::read_to_string(path(file)).unwrap().to_lowercase();
        let words: Vec<_> = text.split_whitespace().collect();
        let wrong = words.windows(3).filter(|words| match words[0] {
            "all" => is_wrong(words[1]),
            number => is_wrong(number) && words.iter().any(|word| word.starts_with("services")),
        });
        let wrong =
            wrong.map(|words| format!("{file}: {}, and there are {} services", words.join(" "), NUMBERS[count]));
        miscounted.extend(wrong);
    }
    miscounted
}

#[test]
fn a_service_is_known_wherever_services_are_listed() {
    let services = services();
    let known = |name: &str| services.iter().any(|service| service.name == name);
    assert!(fleet::Service::ALL.into_iter().all(|service| known(service.name())), "services are not recognised");
    let mut missing = miscounted(services.len());
    for service in &services {
        missing.extend(service.missing().into_iter().map(|place| format!("{}: {place}", service.name)));
    }
    assert!(missing.is_empty(), "not every service is where services are listed:\n{}", missing.join("\n"));
}
