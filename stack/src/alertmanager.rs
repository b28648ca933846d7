//! Finds an installed Alertmanager, and runs it on this machine with a storage of its own.

use std::{
    env,
    ffi::OsString,
    fmt,
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

/// The end of the message that Alertmanager is missing.
pub const INSTALL: &str = "install it (Debian, Ubuntu: sudo apt-get install prometheus-alertmanager, then sudo systemctl \
                           disable --now prometheus-alertmanager, as the fleet runs its own; macOS: brew install \
                           alertmanager; elsewhere: https://prometheus.io/download/)";

/// What Debian calls the program, and what others call it.
const NAMES: [&str; 2] = ["prometheus-alertmanager", "alertmanager"];

/// The variables of `deployments/config/alertmanager/configure.sh`.
const VARIABLES: [&str; 4] =
    ["ALERTS_TELEGRAM_API_KEY", "ALERTS_TELEGRAM_CHAT_ID", "ALERTS_PAGE_WEBHOOK_URL", "ALERTS_TICKET_WEBHOOK_URL"];

const CONFIG: &str = "alertmanager.yml";
const START_TIMEOUT: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(3);

/// The programs of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    pub alertmanager: PathBuf,
    pub amtool: PathBuf,
}

/// The installed programs. Debian's package is installed first, if that is possible without asking the user.
pub fn tools() -> anyhow::Result<Tools> {
    packages::install_if_missing(NAMES[0], || find().is_some(), INSTALL, &mut |line| terminal::print_error(line))?;
    find().with_context(|| format!("Alertmanager is missing: {INSTALL}"))
}

/// The installed programs; none if one of them is missing.
pub fn find() -> Option<Tools> {
    Some(Tools { alertmanager: NAMES.into_iter().find_map(packages::find)?, amtool: packages::find("amtool")? })
}

/// Where alerts are told: the variables of `deployments/config/alertmanager/configure.sh`. Without any, nowhere.
#[derive(Clone, Default)]
pub struct Receivers(Vec<(&'static str, OsString)>);

impl Receivers {
    pub fn from_environment() -> Self {
        Self::read(|name| env::var_os(name))
    }

    /// Asks for the value of each variable.
    pub fn read(value: impl Fn(&str) -> Option<OsString>) -> Self {
        Self(VARIABLES.into_iter().filter_map(|name| Some((name, value(name)?))).collect())
    }
}

/// Values are secrets.
impl fmt::Debug for Receivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Writes a configuration to the directory, with the script of `deployments/config/alertmanager` or a copy of it.
/// Returns the configuration file.
pub fn configure(script: &Path, receivers: &Receivers, directory: &Path) -> anyhow::Result<PathBuf> {
    let file = directory.join(CONFIG);
    let mut command = Command::new("sh");
    command.arg(script).arg(&file);
    for name in VARIABLES {
        command.env_remove(name);
    }
    command.envs(receivers.0.iter().map(|(name, value)| (name, value)));
    let output = command.output().with_context(|| format!("cannot run {}", script.display()))?;
    if !output.status.success() {
        bail!("alerts cannot be told: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(file)
}

/// The command that runs the server with the configuration file `config` and the directory `storage`.
pub(crate) fn command(program: &Path, config: &Path, storage: &Path, listen: SocketAddr) -> Command {
    let mut command = Command::new(program);
    let option = |name: &str, value: &dyn fmt::Display| format!("--{name}={value}");
    command
        .arg(option("config.file", &config.display()))
        .arg(option("storage.path", &storage.display()))
        .arg(option("web.listen-address", &listen))
        .arg(option("web.external-url", &format_args!("http://{listen}")))
        // It is alone.
        .arg(option("cluster.listen-address", &""))
        .arg(option("log.level", &"warn"));
    command
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Alertmanager {
    process: Process,
    address: SocketAddr,
    client: Client,
}

impl Alertmanager {
    /// Starts a server and waits until it is ready. Its storage and its log are in the directory.
    pub async fn start(config: &Path, directory: &Path, port: u16) -> anyhow::Result<Self> {
        let Tools { alertmanager, .. } = tools()?;
        let (address, log) = (ports::loopback(port), directory.join("alertmanager.log"));
        let command = command(&alertmanager, config, &directory.join("data"), address);
        let mut process = Process::spawn("alertmanager", command, &log)?;
        let client = Client::new();
        process.wait_until_ready(&client, address, START_TIMEOUT, "Alertmanager", &log).await?;
        Ok(Self { process, address, client })
    }

    /// The address of the web interface and of the API.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes alerts as from Prometheus: each has `labels` and `annotations`, and fires until its `endsAt`.
    pub async fn post(&self, alerts: &Value) -> anyhow::Result<()> {
        let answer = self.client.post(format!("{}/api/v2/alerts", self.url())).json(alerts).send().await?;
        answer.error_for_status()?;
        Ok(())
    }

    /// The alerts that fire, as its API shows them.
    pub async fn alerts(&self) -> anyhow::Result<Vec<Value>> {
        let answer = self.client.get(format!("{}/api/v2/alerts", self.url())).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    pub async fn stop(mut self) {
        self.process.stop(Signal::TERM, GRACE).await;
    }
}
