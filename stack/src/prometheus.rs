//! Prometheus: the programs of an installation, and a server on this machine, with storage of its own.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use reqwest::Client;
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    packages, ports,
    process::{self, Process},
};

/// How to get it, a sentence that follows what is missing.
pub const INSTALL: &str = "install it (Debian, Ubuntu: sudo apt-get install prometheus, then sudo systemctl disable \
                           --now prometheus, as the fleet runs its own; macOS: brew install prometheus; elsewhere: \
                           https://prometheus.io/download/)";

/// How long it may take to start; after a crash it first replays its log.
const START: Duration = Duration::from_secs(60);

/// How long it may take to write down what it has in memory.
const GRACE: Duration = Duration::from_secs(3);

/// How long samples are kept: as long as the longest window that a rule looks back on, and a little.
const RETENTION: &str = "31d";

/// The programs of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// The server.
    pub prometheus: PathBuf,
    /// What checks configurations, rules and metrics.
    pub promtool: PathBuf,
}

/// The installed programs; Debian's package is installed first where that needs no question.
pub fn tools() -> anyhow::Result<Tools> {
    packages::install_if_missing("prometheus", || find().is_some(), INSTALL, &mut |line| eprintln!("{line}"))?;
    find().with_context(|| format!("Prometheus is missing: {INSTALL}"))
}

/// The installed programs, if both are there.
pub fn find() -> Option<Tools> {
    Some(Tools { prometheus: packages::find("prometheus")?, promtool: packages::find("promtool")? })
}

/// The server's command: configured by a file, with its storage in a directory.
pub(crate) fn command(program: &Path, config: &Path, storage: &Path, listen: SocketAddr) -> Command {
    let mut command = Command::new(program);
    let option = |name: &str, value: &dyn std::fmt::Display| format!("--{name}={value}");
    command
        .arg(option("config.file", &config.display()))
        .arg(option("storage.tsdb.path", &storage.display()))
        .arg(option("storage.tsdb.retention.time", &RETENTION))
        .arg(option("web.listen-address", &listen))
        .arg(option("log.level", &"warn"))
        .arg(option("enable-feature", &"exemplar-storage"));
    command
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Prometheus {
    process: Process,
    address: SocketAddr,
    client: Client,
}

impl Prometheus {
    /// Starts one with this configuration and waits until it is ready. The configuration, its storage and its log go
    /// into the directory; relative paths in the configuration begin there.
    pub async fn start(config: &str, directory: &Path, port: u16) -> anyhow::Result<Self> {
        let Tools { prometheus, .. } = tools()?;
        let directory = directory.canonicalize().with_context(|| format!("no directory {}", directory.display()))?;
        let (file, log) = (directory.join("prometheus.yml"), directory.join("prometheus.log"));
        fs::write(&file, config).with_context(|| format!("cannot write {}", file.display()))?;
        let address = ports::loopback(port);
        let command = command(&prometheus, &file, &directory.join("data"), address);
        let process = Process::spawn("prometheus", command, &log)?;
        let mut server = Self { process, address, client: Client::new() };
        server.is_ready(&log).await?;
        Ok(server)
    }

    async fn is_ready(&mut self, log: &Path) -> anyhow::Result<()> {
        let deadline = Instant::now() + START;
        let url = format!("{}/-/ready", self.url());
        while !self.client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            if let Some(status) = self.process.exited() {
                bail!("Prometheus {}:\n{}", process::describe(status), process::tail(log, 20));
            }
            if Instant::now() > deadline {
                bail!("Prometheus is not ready:\n{}", process::tail(log, 20));
            }
            tokio::time::sleep(process::POLL).await;
        }
        Ok(())
    }

    /// Where its interface and its API are.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The result of an instant query now: for a vector, one element a series, `{"metric": {...}, "value": [...]}`.
    pub async fn query(&self, query: &str) -> anyhow::Result<Vec<Value>> {
        let answer = self.get("query", &[("query", query)]).await?;
        answer["result"].as_array().cloned().with_context(|| format!("`{query}` answered {answer}"))
    }

    /// The `data` of an answer of its API, `/api/v1/<path>`.
    pub async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Value> {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/{path}", self.url()), parameters)?;
        let mut answer: Value = self.client.get(url).send().await?.json().await?;
        if answer["status"] != "success" {
            bail!("{path} {parameters:?}: {}", answer["error"]);
        }
        Ok(answer["data"].take())
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends it in good order.
    pub async fn stop(mut self) {
        self.process.stop(Signal::TERM, GRACE).await;
    }
}
