//! Finds an installed Prometheus, and runs its server on this machine with a storage of its own.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail};
use reqwest::Client;
use rustix::process::Signal;
use serde_json::Value;

use crate::{packages, ports, process::Process, terminal};

/// The end of the message that Prometheus is missing.
pub const INSTALL: &str = "install it (Debian, Ubuntu: sudo apt-get install prometheus, then sudo systemctl disable \
                           --now prometheus, as the fleet runs its own; macOS: brew install prometheus; elsewhere: \
                           https://prometheus.io/download/)";

/// Long, because after a crash Prometheus first replays its log.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Enough to write its data in memory to disk.
const GRACE: Duration = Duration::from_secs(3);

/// A little longer than the longest window of a rule.
const RETENTION: &str = "31d";

/// The programs of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    pub prometheus: PathBuf,
    pub promtool: PathBuf,
}

/// The installed programs. Debian's package is installed first, if that is possible without asking the user.
pub fn tools() -> anyhow::Result<Tools> {
    packages::install_if_missing("prometheus", || find().is_some(), INSTALL, &mut |line| terminal::print_error(line))?;
    find().with_context(|| format!("Prometheus is missing: {INSTALL}"))
}

/// The installed programs; none if one of them is missing.
pub fn find() -> Option<Tools> {
    Some(Tools { prometheus: packages::find("prometheus")?, promtool: packages::find("promtool")? })
}

/// The command that runs the server with the configuration file `config` and the directory `storage`.
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
    /// Starts a server and waits until it is ready. Its configuration file, its storage and its log are in the
    /// directory, and relative paths in the configuration start from there.
    pub async fn start(config: &str, directory: &Path, port: u16) -> anyhow::Result<Self> {
        let Tools { prometheus, .. } = tools()?;
        let directory = directory.canonicalize().with_context(|| format!("no directory {}", directory.display()))?;
        let (file, log) = (directory.join("prometheus.yml"), directory.join("prometheus.log"));
        fs::write(&file, config).with_context(|| format!("cannot write {}", file.display()))?;
        let address = ports::loopback(port);
        let command = command(&prometheus, &file, &directory.join("data"), address);
        let mut process = Process::spawn("prometheus", command, &log)?;
        let client = Client::new();
        process.wait_until_ready(&client, address, START_TIMEOUT, "Prometheus", &log).await?;
        Ok(Self { process, address, client })
    }

    /// The address of the web interface and of the API.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Evaluates a query now. A vector has an element for each series: `{"metric": {...}, "value": [...]}`.
    pub async fn query(&self, query: &str) -> anyhow::Result<Vec<Value>> {
        let answer = self.get("query", &[("query", query)]).await?;
        answer["result"].as_array().cloned().with_context(|| format!("`{query}` answered {answer}"))
    }

    /// Calls the API, `/api/v1/<path>`, and returns the `data` of its answer.
    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Value> {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/{path}", self.url()), parameters)?;
        let mut answer: Value = self.client.get(url).send().await?.json().await?;
        if answer["status"] != "success" {
            bail!("{path} {parameters:?}: {}", answer["error"]);
        }
        Ok(answer["data"].take())
    }

    pub async fn stop(mut self) {
        self.process.stop(Signal::TERM, GRACE).await;
    }
}
