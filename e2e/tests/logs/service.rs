//! Starts a service beside the fleet's own, with a changed configuration and at every log level, and keeps its output.

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

/// A service takes less time to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

pub struct Service {
    process: Process,
    log: PathBuf,
    /// The gRPC port.
    pub port: u16,
    admin: u16,
}

impl Service {
    /// No other service may have the same name.
    pub fn start(world: &World, service: fleet::Service, name: &str, change: impl FnOnce(&mut Value)) -> Self {
        let (port, admin) = (ports::free().unwrap(), ports::free().unwrap());
        let config = configure(world, service, name, |config| {
            config["grpc"]["listen"] = ports::loopback(port).to_string().into();
            config["http"]["listen"] = ports::loopback(ports::free().unwrap()).to_string().into();
            config["admin"]["listen"] = ports::loopback(admin).to_string().into();
            change(config);
        });
        let log = config.with_extension("log");
        let mut command = program(service);
        command.arg("--config").arg(config).env("RUST_LOG", "trace");
        Self { process: Process::spawn(name, command, &log).unwrap(), log, port, admin }
    }

    pub async fn wait_until_ready(self) -> Self {
        eventually("the service is ready", || async { self.get("/readyz").await.filter(|text| text == "ready\n") })
            .await;
        self
    }

    /// The output so far.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub async fn wait_for_output(&self, text: &str) {
        eventually(&format!("it says {text:?}"), || async { self.output().contains(text).then_some(()) }).await;
    }

    /// Asks the admin port.
    pub async fn get(&self, path: &str) -> Option<String> {
        reqwest::get(format!("http://{}{path}", ports::loopback(self.admin))).await.ok()?.text().await.ok()
    }

    /// The value of a series, such as `name{label="value"}`; zero if there is none.
    pub async fn metric(&self, series: &str) -> f64 {
        let metrics = self.get("/metrics").await.unwrap_or_default();
        metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok()).unwrap_or_default()
    }

    /// Returns all of the output, and the last metrics.
    pub async fn stop(mut self) -> (String, String) {
        let metrics = self.get("/metrics").await.unwrap_or_default();
        self.process.stop(Signal::TERM, STOP_TIMEOUT).await;
        (self.output(), metrics)
    }
}

/// Writes a changed copy of the fleet's configuration. Returns the path of the file.
pub fn configure(world: &World, service: fleet::Service, name: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let original = fs::read_to_string(&world.addresses.service(service).config).unwrap();
    let mut config: Value = serde_yaml::from_str(&original).unwrap();
    change(&mut config);
    write(world, name, &serde_yaml::to_string(&config).unwrap())
}

pub fn write(world: &World, name: &str, text: &str) -> PathBuf {
    let file = world.state().join(format!("{name}.yaml"));
    fs::write(&file, text).unwrap();
    file
}

/// Runs a command of a service to its end. Returns its exit code and its output.
pub fn run(service: fleet::Service, arguments: &[&str], config: &Path) -> (Option<i32>, String) {
    let output =
        program(service).args(arguments).arg("--config").arg(config).env("RUST_LOG", "trace").output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.code(), text)
}

fn program(service: fleet::Service) -> Command {
    Command::new(binaries::find(service.name()).unwrap())
}
