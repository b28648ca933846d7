//! A service beside the fleet's own, with a configuration that differs from theirs in whatever a test wants, every level
//! of its log turned on, and everything that it says kept.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use e2e::World;
use rustix::process::Signal;
use serde_yaml::Value;
use stack::testing::eventually;
use stack::{binaries, fleet, ports, process::Process};

/// Longer than a service takes to stop.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running service.
pub struct Service {
    process: Process,
    log: PathBuf,
    /// Its gRPC port.
    pub port: u16,
    admin: u16,
}

impl Service {
    /// Starts one under a name that no other has.
    pub fn start(world: &World, service: fleet::Service, name: &str, change: impl FnOnce(&mut Value)) -> Self {
        let (port, admin) = (ports::free().unwrap(), ports::free().unwrap());
        let config = configure(world, service, name, |config| {
            config["grpc"]["listen"] = ports::loopback(port).to_string().into();
            config["admin"]["listen"] = ports::loopback(admin).to_string().into();
            change(config);
        });
        let log = config.with_extension("log");
        let mut command = program(service);
        command.arg("--config").arg(config).env("RUST_LOG", "trace");
        Self { process: Process::spawn(name, command, &log).unwrap(), log, port, admin }
    }

    /// Waits until it is ready.
    pub async fn ready(self) -> Self {
        eventually("the service is ready", || async { self.get("/readyz").await.filter(|text| text == "ready\n") })
            .await;
        self
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it says something.
    pub async fn until_said(&self, text: &str) {
        eventually(&format!("it says {text:?}"), || async { self.said().contains(text).then_some(()) }).await;
    }

    /// What its admin port answers.
    pub async fn get(&self, path: &str) -> Option<String> {
        reqwest::get(format!("http://{}{path}", ports::loopback(self.admin))).await.ok()?.text().await.ok()
    }

    /// The value of a metric, by its name with its labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let metrics = self.get("/metrics").await.unwrap_or_default();
        metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or_default()
    }

    /// Stops it, and answers all that it said and its last metrics.
    pub async fn stop(mut self) -> (String, String) {
        let metrics = self.get("/metrics").await.unwrap_or_default();
        self.process.stop(Signal::TERM, PATIENCE).await;
        (self.said(), metrics)
    }
}

/// Writes a configuration that differs from that of the fleet's own service; answers where.
pub fn configure(world: &World, service: fleet::Service, name: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let original = fs::read_to_string(&world.addresses.service(service).config).unwrap();
    let mut config: Value = serde_yaml::from_str(&original).unwrap();
    change(&mut config);
    write(world, name, &serde_yaml::to_string(&config).unwrap())
}

/// Writes a configuration.
pub fn write(world: &World, name: &str, text: &str) -> PathBuf {
    let file = world.state().join(format!("{name}.yaml"));
    fs::write(&file, text).unwrap();
    file
}

/// Runs a command of a service that ends by itself; answers its exit code and what it says.
pub fn run(service: fleet::Service, arguments: &[&str], config: &Path) -> (Option<i32>, String) {
    let output =
        program(service).args(arguments).arg("--config").arg(config).env("RUST_LOG", "trace").output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.code(), text)
}

fn program(service: fleet::Service) -> Command {
    Command::new(binaries::find(service.name()).unwrap())
}
