//! The whole fleet on this machine: certificates, Postgres, broker, stand-ins and the services, each a process
//! of its own, started in order and stopped in the reverse of it.

mod addresses;
mod config;
mod drain;
mod health;
mod observability;
mod part;
mod ports;
mod replica;
mod service;
mod state;
mod steps;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::Signal;

use crate::{
    broker::Broker,
    postgres::{self, Postgres},
    process::{self, Process},
};

pub use addresses::{Addresses, ServiceAddresses};
pub use observability::{Installed, overview};
pub use part::{Observer, Part, StandIn};
pub use ports::{Ports, ServicePorts};
pub use replica::Replica;
pub use service::{Facts, Service};
use state::State;
pub use state::running;

/// How long the services may take to stop. Longer than the grace period that they are configured with.
const SERVICE_GRACE: Duration = Duration::from_secs(5);

/// How long a stand-in or an observer may take to stop: it has nothing to finish.
const STAND_IN_GRACE: Duration = Duration::from_secs(1);

/// How long the orderly part of a stop may take.
const ORDERLY_STOP: Duration = Duration::from_secs(7);

/// How often the processes are looked at while the fleet runs.
const WATCH: Duration = Duration::from_millis(200);

/// What may differ from one fleet to the next.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The directory for data, logs, configuration and addresses; one fleet at a time.
    pub state: PathBuf,
    /// The directory of the certificates, made when they are missing.
    pub certs: PathBuf,
    /// Where everything listens.
    pub ports: Ports,
    /// How long an order waits for its payment.
    pub payment_timeout: Duration,
    /// Brokers to use instead of a local one, `host:port`.
    pub kafka: Option<String>,
    /// The OTLP/gRPC endpoint that the services send their spans to, `http://host:port`.
    pub otlp: Option<String>,
    /// The host of the Graylog that the services send their log to.
    pub graylog: Option<String>,
    /// Whether Prometheus, Jaeger and Grafana are started, as far as they are installed.
    pub observability: bool,
}

impl Settings {
    /// How long an order waits for its payment, unless somebody asks for something else.
    pub const PAYMENT_TIMEOUT: Duration = Duration::from_secs(600);

    /// What most fleets have, with these directories for state and certificates.
    pub fn new(state: impl Into<PathBuf>, certs: impl Into<PathBuf>) -> Self {
        Self {
            state: state.into(),
            certs: certs.into(),
            ports: Ports::DEFAULT,
            payment_timeout: Self::PAYMENT_TIMEOUT,
            kafka: None,
            otlp: None,
            graylog: None,
            observability: false,
        }
    }
}

/// Told what is being done, a line before each step.
pub type Say<'a> = &'a mut (dyn FnMut(&str) + Send);

/// A fleet that answers its health checks. Dropping it kills it; [`stop`](Self::stop) stops it in good order.
#[derive(Debug)]
pub struct Fleet {
    // In the order in which a drop ends them.
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
    /// Which.
    pub part: Part,
    /// How.
    pub status: ExitStatus,
    /// What it last said.
    pub log: PathBuf,
}

impl Fleet {
    /// Starts everything and waits until it is healthy. When this fails, or is dropped before it is done, what was
    /// started is stopped.
    pub async fn start(settings: &Settings, say: Say<'_>) -> anyhow::Result<Self> {
        steps::start(settings, say).await
    }

    /// Where everything is; also in the file `fleet.json` of the state directory, for as long as the fleet runs.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The file that a part's output goes to.
    pub fn log(&self, part: Part) -> PathBuf {
        self.state.log(part)
    }

    /// The process id of a part; none for a broker that is not ours or a part that was stopped.
    pub fn id(&mut self, part: Part) -> Option<u32> {
        self.process(part).map(|process| process.id())
    }

    /// Waits until a process that nobody ended ends. One that only observes is told of once and then forgotten.
    pub async fn died(&mut self) -> Death {
        loop {
            for part in Part::all() {
                if let Some(status) = self.process(part).and_then(Process::exited) {
                    self.observers.retain(|(observer, _)| Part::Observer(*observer) != part);
                    return Death { part, status, log: self.state.log(part) };
                }
            }
            tokio::time::sleep(WATCH).await;
        }
    }

    /// Stops the services, then what they depend on. Takes ten seconds at the most: what is too slow is killed.
    pub async fn stop(mut self) {
        let _ = tokio::time::timeout(ORDERLY_STOP, self.stop_all_but_postgres()).await;
        self.services.clear();
        self.stand_ins.clear();
        self.observers.clear();
        self.broker = None;
        self.postgres.stop().await;
    }

    async fn stop_all_but_postgres(&mut self) {
        let reads = |service: Service| service == Service::Notifications;
        stop_all(of(&mut self.services, |service| !reads(service)), SERVICE_GRACE).await;
        if self.broker.is_some() && of(&mut self.services, reads).next().is_some() {
            drain::wait(self.addresses.notifications.admin).await;
        }
        stop_all(of(&mut self.services, reads), SERVICE_GRACE).await;
        // What the services had to say at their end has been heard.
        let (stand_ins, observers) = (of(&mut self.stand_ins, |_| true), of(&mut self.observers, |_| true));
        stop_all(stand_ins.chain(observers), STAND_IN_GRACE).await;
        if let Some(broker) = self.broker.take() {
            broker.stop().await;
        }
    }

    fn process(&mut self, part: Part) -> Option<&mut Process> {
        match part {
            Part::Postgres => Some(self.postgres.process()),
            Part::Broker => self.broker.as_mut().map(Broker::process),
            Part::StandIn(stand_in) => of(&mut self.stand_ins, |other| other == stand_in).next(),
            Part::Observer(observer) => of(&mut self.observers, |other| other == observer).next(),
            Part::Service(service) => of(&mut self.services, |other| other == service).next(),
        }
    }
}

/// The processes of those that are asked for.
fn of<P: Copy>(processes: &mut [(P, Process)], is_one: impl Fn(P) -> bool) -> impl Iterator<Item = &mut Process> {
    processes.iter_mut().filter(move |(part, _)| is_one(*part)).map(|(_, process)| process)
}

/// Stops all of them at the same time.
async fn stop_all(processes: impl Iterator<Item = &mut Process>, grace: Duration) {
    futures::future::join_all(processes.map(|process| process.stop(Signal::TERM, grace))).await;
}

impl std::fmt::Display for Death {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (how, log) = (process::describe(self.status), shown(&self.log));
        write!(f, "{} {how}; the end of {}:\n{}", self.part.name(), log.display(), process::tail(&self.log, 20))
    }
}

/// Ends what a killed launcher left running on a state directory, and removes the directory and its data.
pub async fn clean(directory: &Path, say: Say<'_>) -> anyhow::Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    let state = State::claim(directory)?;
    state.end_leftovers(say).await?;
    postgres::stop_stale(state.directory(), say).await?;
    // The data may be elsewhere, with a link to it.
    for data in [postgres::cluster_home(state.directory()), Some(state.directory().to_owned())].into_iter().flatten() {
        fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
    }
    Ok(())
}

/// A path as people read it: relative to where they are, if it lies there.
pub fn shown(path: &Path) -> &Path {
    std::env::current_dir().ok().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path)
}
