//! `stack up --observability`, with the installed Prometheus and Alertmanager of this machine, and with scripts in place of
//! Jaeger and Grafana. The scripts write down how they were started, and listen on the address that they were given.

use std::{
    collections::HashMap,
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;
use serde_json::{Value, json};
use stack::testing::eventually;
use stack::{
    alertmanager,
    fleet::{Addresses, Service, running},
    process::command_line,
    prometheus,
};

use crate::world::{World, kill};

/// A shell command that listens on a port; the address follows.
const LISTEN: &str = concat!("exec ", env!("CARGO_BIN_EXE_stack"), " telegram --listen");

impl World {
    /// Adds a script that is found before all other programs of this name.
    fn program(&self, name: &str, script: &str) {
        let file = self.programs().join(name);
        fs::create_dir_all(self.programs()).unwrap();
        fs::write(&file, format!("#!/bin/sh\ncd {}\n{script}\n", self.programs().display())).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn programs(&self) -> PathBuf {
        self.directory.path().join("programs")
    }

    /// `stack up --observability` with these scripts.
    fn observed_command(&self) -> Command {
        let mut command = self.command();
        let path = env::var_os("PATH").unwrap();
        let path = [self.programs()].into_iter().chain(env::split_paths(&path));
        command.arg("--observability").env("PATH", env::join_paths(path).unwrap());
        command
    }

    /// The environment that a script wrote to a file.
    fn environment(&self, file: &str) -> HashMap<String, String> {
        let text = fs::read_to_string(self.programs().join(file)).unwrap();
        text.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect()
    }
}

fn yaml(file: &Path) -> Value {
    serde_yaml::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// Calls the API of Prometheus.
async fn ask(addresses: &Addresses, path: &str) -> Value {
    let url = format!("http://{}/api/v1/{path}", addresses.prometheus.unwrap());
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_installed_is_started_wired_and_shown_and_its_end_is_not_the_fleets() {
    prometheus::tools().unwrap();
    alertmanager::tools().unwrap();
    let world = World::new();
    let address = "$(grep -A1 http: \"$2\" | sed -n 's/.*endpoint: //p')";
    world.program("jaeger", &format!("cp \"$2\" jaeger.yml\n{LISTEN} {address}"));
    let address = "$GF_SERVER_HTTP_ADDR:$GF_SERVER_HTTP_PORT";
    world
        .program("grafana", &format!("echo \"$@\" > grafana.arguments\nenv > grafana.environment\n{LISTEN} {address}"));
    let mut command = world.observed_command();
    command.env("ALERTS_PAGE_WEBHOOK_URL", "http://127.0.0.1:9/pages");
    let up = World::start(command);
    let addresses = running(&world.state()).unwrap();
    let shown = up.lines.join("\n");
    let (jaeger, otlp) = (addresses.jaeger.unwrap(), addresses.jaeger_otlp.unwrap());
    let (metrics, grafana) = (addresses.prometheus.unwrap(), addresses.grafana.unwrap());
    let alerts = addresses.alertmanager.unwrap();
    for (part, address) in [("alertmanager", alerts), ("prometheus", metrics), ("jaeger", jaeger), ("grafana", grafana)]
    {
        let row = [part.to_owned(), up.pid(part).to_string(), format!("http://{address}")];
        let is_shown = up.lines.iter().any(|line| line.split_whitespace().take(3).eq(row.iter().map(String::as_str)));
        assert!(is_shown, "{row:?} is not in\n{shown}");
    }
    assert!(shown.contains(&format!("Dashboards: http://{grafana}/d/route256-overview\n")), "{shown}");

    // Metrics: every service is scraped, and the rules are there.
    eventually("every service is scraped", || async {
        let answer = ask(&addresses, "query?query=up{job!=\"prometheus\"}==1").await;
        let scraped = answer["data"]["result"].as_array()?;
        let is_scraped = |service: Service| scraped.iter().any(|series| series["metric"]["job"] == service.name());
        Service::ALL.into_iter().all(is_scraped).then_some(())
    })
    .await;
    let rules = ask(&addresses, "rules").await;
    let files: Vec<_> = rules["data"]["groups"].as_array().unwrap().iter().map(|group| &group["file"]).collect();
    let here = world.state().canonicalize().unwrap().join("prometheus/rules/slo.yml");
    assert!(files.contains(&&json!(here)), "{files:?}");

    // Alerts: Prometheus has found Alertmanager, which tells the webhook.
    eventually("Prometheus has found Alertmanager", || async {
        let found = ask(&addresses, "alertmanagers").await;
        (found["data"]["activeAlertmanagers"][0]["url"] == format!("http://{alerts}/api/v2/alerts")).then_some(())
    })
    .await;
    let written = yaml(&world.state().join("alertmanager/alertmanager.yml"));
    assert_eq!(written["receivers"][0]["webhook_configs"][0]["url"], "http://127.0.0.1:9/pages");

    // Traces: the services send them to Jaeger's receiver.
    for service in Service::ALL {
        assert_eq!(yaml(&addresses.service(service).config)["jaeger"]["endpoint"], json!(format!("http://{otlp}")));
    }
    let written = yaml(&world.programs().join("jaeger.yml"));
    assert_eq!(written["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"], json!(otlp));

    // Dashboards: Grafana is told where both are, and its files are there.
    let written = world.environment("grafana.environment");
    assert_eq!(written["PROMETHEUS_URL"], format!("http://{metrics}"));
    assert_eq!(written["JAEGER_URL"], format!("http://{jaeger}"));
    assert_eq!(written["GF_ANALYTICS_REPORTING_ENABLED"], "false");
    let dashboards = Path::new(&written["DASHBOARDS"]);
    assert!(dashboards.join("overview.json").is_file());
    assert!(Path::new(&written["GF_PATHS_PROVISIONING"]).join("datasources/datasources.yml").is_file());
    let arguments = fs::read_to_string(world.programs().join("grafana.arguments")).unwrap();
    assert!(arguments.starts_with("server --homepath /"), "{arguments}");

    // The fleet goes on without Prometheus.
    let processes = up.processes();
    assert_eq!(processes.len(), 11);
    kill(up.pid("prometheus"), Signal::KILL);
    up.wait_for_error("prometheus was ended by signal 9");
    up.wait_for_error("The fleet goes on without it.");
    assert!(command_line(up.pid("checkout")).is_some());
    up.signal(Signal::TERM);
    assert_eq!(up.end(), (Some(0), String::new()));
    for (name, pid) in processes {
        assert_eq!(command_line(pid), None, "{name} still runs");
    }
}

#[test]
fn what_does_not_start_is_left_out_and_other_receivers_of_traces_and_logs_are_written_down() {
    prometheus::tools().unwrap();
    alertmanager::tools().unwrap();
    let world = World::new();
    world.program("jaeger", "echo of no use\nexit 3");
    world.program("grafana", "echo of no use either\nexit 4");
    let mut command = world.observed_command();
    command.args(["--otlp", "http://otlp.example:4317/", "--graylog", "logs.example"]);
    let up = World::start(command);
    let addresses = running(&world.state()).unwrap();
    let shown = up.lines.join("\n");
    assert!(shown.contains("the fleet goes on without jaeger: jaeger exited with code 3"), "{shown}");
    assert!(shown.contains("the fleet goes on without grafana: grafana exited with code 4"), "{shown}");
    assert_eq!((addresses.jaeger, addresses.grafana), (None, None));
    assert_eq!(up.processes().len(), 9);
    assert!(!shown.contains("Dashboards:"), "{shown}");

    for service in Service::ALL {
        let (config, port) = (yaml(&addresses.service(service).config), service.facts().graylog_port);
        assert_eq!(config["jaeger"]["endpoint"], json!("http://otlp.example:4317"));
        assert_eq!(config["graylog"]["address"], json!(format!("logs.example:{port}")));
    }
    up.signal(Signal::TERM);
    assert_eq!(up.end().0, Some(0));
}

#[test]
fn alerts_that_could_be_told_nobody_are_a_fault_of_the_start_which_shows_no_secret() {
    alertmanager::tools().unwrap();
    let world = World::new();
    let mut command = world.observed_command();
    command.env("ALERTS_TELEGRAM_API_KEY", "12345:very-secret");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("alerts cannot be told: ALERTS_TELEGRAM_CHAT_ID is missing"), "{error}");
    assert!(!error.contains("very-secret"), "{error}");
}
