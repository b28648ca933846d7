//! The whole fleet on this machine: Postgres, the broker, the stand-ins, the observers and the services. Each is a
//! process of its own. A part starts after the parts that it needs, and stops before them.

mod addresses;
mod config;
pub(crate) mod health;
mod observability;
mod part;
mod ports;
mod replica;
mod service;
mod state;
mod steps;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::Signal;

use crate::{
    Say,
    alertmanager::Receivers,
    broker::Broker,
    postgres::{self, Postgres},
    process::{self, Process},
    terminal::BAD,
};

pub use addresses::{Addresses, ServiceAddresses};
pub use observability::{Installed, overview};
pub use part::{Observer, Part, StandIn};
pub use ports::{Ports, ServicePorts};
pub use replica::Replica;
pub use service::{Facts, Service};
use state::State;
pub use state::{pids, running};
pub use steps::import_stock;

/// Longer than the grace period in the services' configuration.
const SERVICE_GRACE: Duration = Duration::from_secs(5);

/// For stand-ins and observers. Short, because they have nothing to finish when they are stopped.
const STAND_IN_GRACE: Duration = Duration::from_secs(1);

/// For everything but Postgres, which may then take three seconds more.
const ORDERLY_STOP: Duration = Duration::from_secs(7);

const WATCH_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, Clone)]
pub struct Settings {
    /// The directory for data, logs, configuration and addresses. Only one fleet at a time can use it.
    pub state: PathBuf,
    /// The directory of the certificates. They are made if they are missing.
    pub certs: PathBuf,
    pub ports: Ports,
    pub payment_timeout: Duration,
    /// How many messages a minute Telegram's chat may get; `None` for what Telegram allows.
    pub telegram_per_minute: Option<u32>,
    /// External brokers to use instead of a local one: `host:port`, separated by commas.
    pub kafka: Option<String>,
    /// By service, the section `kafka` of its configuration, for brokers that ask for more than the addresses.
    pub kafka_clients: HashMap<Service, serde_json::Value>,
    /// Whether Postgres counts the calls and the time of statements (`pg_stat_statements`).
    pub counts_statements: bool,
    /// The OTLP/gRPC endpoint that receives the services' spans, `http://host:port`.
    pub otlp: Option<String>,
    /// The host of the Graylog that receives the services' logs.
    pub graylog: Option<String>,
    /// Whether to start those of Alertmanager, Prometheus, Jaeger and Grafana that are installed.
    pub observability: bool,
    /// Where Alertmanager tells of alerts.
    pub receivers: Receivers,
}

impl Settings {
    /// As many messages a minute as notifications can be told to send.
    pub const TELEGRAM_UNBOUNDED: Option<u32> = Some(60_000);

    /// The default settings, with these directories for state and certificates.
    pub fn new(state: impl Into<PathBuf>, certs: impl Into<PathBuf>) -> Self {
        Self {
            state: state.into(),
            certs: certs.into(),
            ports: Ports::DEFAULT,
            payment_timeout: Duration::from_secs(600),
            telegram_per_minute: None,
            kafka: None,
            kafka_clients: HashMap::new(),
            counts_statements: false,
            otlp: None,
            graylog: None,
            observability: false,
            receivers: Receivers::default(),
        }
    }
}

/// A healthy fleet. Dropping it kills every process; [`stop`](Self::stop) stops them in order.
#[derive(Debug)]
pub struct Fleet {
    // A drop kills them in the order of these fields.
    services: Vec<(Service, Process)>,
    stand_ins: Vec<(StandIn, Process)>,
    observers: Vec<(Observer, Process)>,
    broker: Option<Broker>,
    postgres: Postgres,
    addresses: Addresses,
    state: State,
}

/// A process of the fleet that ended by itself.
#[derive(Debug)]
pub struct Death {
    pub part: Part,
    pub status: ExitStatus,
    pub log: PathBuf,
}

impl Fleet {
    /// Starts everything and waits until it is healthy. A failure, or a drop of the future, stops what was started.
    pub async fn start(settings: &Settings, say: Say<'_>) -> anyhow::Result<Self> {
        steps::start(settings, say).await
    }

    /// While the fleet runs, its addresses are also in the file `fleet.json` of the state directory.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The process id; none for an external broker, and for a part that does not run.
    pub fn id(&mut self, part: Part) -> Option<u32> {
        self.process(part).map(|process| process.id())
    }

    /// The superuser's connection string, for a look at the whole cluster.
    pub fn superusers_database(&self) -> String {
        self.postgres.url(postgres::SUPERUSER)
    }

    /// Waits until a process ends by itself. An observer that ended is reported once; the fleet goes on without it.
    pub async fn died(&mut self) -> Death {
        loop {
            for part in Part::all() {
                if let Some(status) = self.process(part).and_then(Process::exited) {
                    self.observers.retain(|(observer, _)| Part::Observer(*observer) != part);
                    return Death { part, status, log: self.state.log(part) };
                }
            }
            tokio::time::sleep(WATCH_INTERVAL).await;
        }
    }

    /// Stops the services, then the parts that they need. This takes at most ten seconds: a slow process is killed.
    pub async fn stop(mut self) {
        let _ = tokio::time::timeout(ORDERLY_STOP, self.stop_all_but_postgres()).await;
        self.services.clear();
        self.stand_ins.clear();
        self.observers.clear();
        self.broker = None;
        self.postgres.stop().await;
    }

    async fn stop_all_but_postgres(&mut self) {
        // Checkout stops first, because the calls that it has accepted need loms.
        for is_of_these in [|service| service == Service::Checkout, |service| service != Service::Checkout] {
            stop_all(processes(&mut self.services, is_of_these), SERVICE_GRACE).await;
        }
        // Only now, because services send messages and spans until they end.
        let stand_ins = processes(&mut self.stand_ins, |_| true);
        let observers = processes(&mut self.observers, |_| true);
        stop_all(stand_ins.chain(observers), STAND_IN_GRACE).await;
        if let Some(broker) = self.broker.take() {
            broker.stop().await;
        }
    }

    fn process(&mut self, part: Part) -> Option<&mut Process> {
        match part {
            Part::Postgres => Some(self.postgres.process()),
            Part::Broker => self.broker.as_mut().map(Broker::process),
            Part::StandIn(stand_in) => processes(&mut self.stand_ins, |other| other == stand_in).next(),
            Part::Observer(observer) => processes(&mut self.observers, |other| other == observer).next(),
            Part::Service(service) => processes(&mut self.services, |other| other == service).next(),
        }
    }
}

fn processes<P: Copy>(all: &mut [(P, Process)], is_wanted: impl Fn(P) -> bool) -> impl Iterator<Item = &mut Process> {
    all.iter_mut().filter(move |(part, _)| is_wanted(*part)).map(|(_, process)| process)
}

/// Stops all of them at the same time.
async fn stop_all(processes: impl Iterator<Item = &mut Process>, grace: Duration) {
    futures::future::join_all(processes.map(|process| process.stop(Signal::TERM, grace))).await;
}

impl std::fmt::Display for Death {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, how, log) = (self.part.name(), process::describe(self.status), shown(&self.log));
        write!(f, "{BAD}{name} {how}{BAD:#}; the end of {}:\n{}", log.display(), process::tail(&self.log, 20))
    }
}

/// Stops what a killed launcher left running, then removes the state directory and its data.
pub async fn clean(directory: &Path, say: Say<'_>) -> anyhow::Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    let state = State::claim(directory)?;
    state.end_leftovers(say).await?;
    postgres::stop_stale(state.directory(), say).await?;
    // The data of Postgres may be outside, behind a link.
    for data in [postgres::cluster_home(state.directory()), Some(state.directory().to_owned())].into_iter().flatten() {
        fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
    }
    Ok(())
}

/// The path as people read it: relative to the current directory, if it is below it.
pub fn shown(path: &Path) -> &Path {
    std::env::current_dir().ok().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path)
}
