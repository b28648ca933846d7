//! `stack status`: what runs of the local fleet, what waits where, and which limits were met. All of it comes from ports
//! that operators have, as it would for somebody without access to the databases.

mod page;
mod rows;

use std::{collections::HashMap, fmt, net::SocketAddr, path::Path, time::Duration};

use chrono::{DateTime, Utc};
use futures::future::join_all;
use reqwest::Client;
use serde::{Serialize, Serializer};
use tokio::time::timeout;

use crate::{
    fleet::{self, Addresses, Part, Service, health},
    scrape::{Scrape, Series},
};
use rows::{LIMITS, NOTABLE, Threshold, WAITING};

/// A process that does not answer within this time does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize)]
pub struct Board {
    at: DateTime<Utc>,
    /// Whether every process is up, and every service ready.
    pub is_whole: bool,
    processes: Vec<Process>,
    waiting: Vec<Waiting>,
    /// Since the services began.
    limits: Vec<Limit>,
    /// What somebody should look at.
    notable: Vec<Notable>,
}

#[derive(Debug, Serialize)]
struct Process {
    name: &'static str,
    address: String,
    /// None for Postgres, for an external broker, and for a process that is gone.
    pid: Option<u32>,
    is_up: bool,
    state: State,
    /// The rest is told by services.
    version: Option<String>,
    revision: Option<String>,
    up_seconds: Option<u64>,
    memory_bytes: Option<u64>,
}

#[derive(Debug)]
enum State {
    /// A service that serves.
    Ready,
    /// Something else that answers as it should.
    Up,
    /// A service that says why it does not serve.
    NotReady(String),
    Silent,
}

/// Something that waits to be done.
#[derive(Debug, Serialize)]
struct Waiting {
    what: &'static str,
    service: &'static str,
    /// None if the service does not tell.
    count: Option<u64>,
    /// For how long the oldest has waited, if that is told.
    oldest_seconds: Option<u64>,
}

/// How often a limit was met.
#[derive(Debug, Serialize)]
struct Limit {
    what: &'static str,
    /// None where there is no such limit, or the service does not tell.
    checkout: Option<u64>,
    loms: Option<u64>,
    notifications: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Notable {
    what: String,
    /// The section of the runbook, if it has one.
    runbook: Option<&'static str>,
}

impl Board {
    /// Looks at the fleet that runs on a state directory; `None` if there is none that is ready.
    pub async fn of(state: &Path) -> anyhow::Result<Option<Self>> {
        let Some(addresses) = fleet::running(state) else { return Ok(None) };
        let client = Client::builder().no_proxy().timeout(PATIENCE).build()?;
        let parts: Vec<Part> = Part::all().filter(|part| !addresses.address_of(*part).is_empty()).collect();
        let states = join_all(parts.iter().map(|part| state_of(*part, &addresses, &client)));
        let scrape = async |service| Scrape::of(&client, addresses.service(service).admin).await.unwrap_or_default();
        let [first, second, third] = Service::ALL.map(scrape);
        let (states, first, second, third) = tokio::join!(states, first, second, third);
        let (scrapes, pids, at) = (Scrapes([first, second, third]), fleet::pids(state), Utc::now());
        let processes = std::iter::zip(parts, states);
        let processes = processes.map(|(part, state)| {
            let process = Process::of(part, state, &addresses, &pids);
            if let Part::Service(service) = part { process.told(scrapes.of(service), at) } else { process }
        });
        let processes: Vec<_> = processes.collect();
        let waiting: Vec<_> = WAITING.iter().map(|row| scrapes.waiting(row)).collect();
        let limits = LIMITS.iter().map(|(what, met, not)| Limit {
            what,
            checkout: scrapes.met(Service::Checkout, met, not),
            loms: scrapes.met(Service::Loms, met, not),
            notifications: scrapes.met(Service::Notifications, met, not),
        });
        let limits = limits.collect();
        let notable = processes.iter().filter_map(Process::notable).chain(waiting.iter().filter_map(Waiting::notable));
        let notable = notable.chain(scrapes.notable()).collect();
        let is_whole = processes.iter().all(|process| process.is_up);
        Ok(Some(Self { at, is_whole, processes, waiting, limits, notable }))
    }
}

/// What the services tell.
struct Scrapes([Scrape; Service::ALL.len()]);

impl Scrapes {
    fn of(&self, service: Service) -> &Scrape {
        &self.0[service as usize]
    }

    fn sum(&self, service: Service, series: Series) -> Option<u64> {
        self.of(service).whole(series)
    }

    fn waiting(
        &self,
        (what, service, count, oldest): &(&'static str, Service, &'static str, Option<&'static str>),
    ) -> Waiting {
        Waiting {
            what,
            service: service.name(),
            count: self.sum(*service, Series(count, None)),
            oldest_seconds: oldest.and_then(|oldest| self.sum(*service, Series(oldest, None))),
        }
    }

    fn met(&self, service: Service, met: &[Series], not: &[Series]) -> Option<u64> {
        let all = met.iter().map(|series| self.sum(service, *series)).sum::<Option<u64>>()?;
        let not: u64 = not.iter().filter_map(|series| self.sum(service, *series)).sum();
        Some(all.saturating_sub(not))
    }

    /// What no row of the board tells.
    fn notable(&self) -> Vec<Notable> {
        let mut notable = Vec::new();
        if self.sum(Service::Notifications, Series("notifications_consumption_paused", None)) > Some(0) {
            notable.push(Notable { what: "consumption is paused".to_owned(), runbook: Some("ConsumptionPaused") });
        }
        for service in Service::ALL {
            let skipped = self.sum(service, Series("worker_skipped_items", None)).unwrap_or_default();
            if skipped > 0 {
                let what = format!("{} cannot do {skipped} of its items", service.name());
                notable.push(Notable { what, runbook: Some("WorkerSkipsItems") });
            }
        }
        notable
    }
}

async fn state_of(part: Part, addresses: &Addresses, client: &Client) -> State {
    match part {
        Part::Service(service) => readiness(client, addresses.service(service).admin).await,
        Part::Postgres | Part::Broker | Part::StandIn(_) | Part::Observer(_) => {
            match timeout(PATIENCE, health::check(part, addresses, client)).await {
                Ok(Ok(())) => State::Up,
                Ok(Err(_)) | Err(_) => State::Silent,
            }
        }
    }
}

async fn readiness(client: &Client, admin: SocketAddr) -> State {
    let Ok(answer) = client.get(format!("http://{admin}/readyz")).send().await else { return State::Silent };
    if answer.status().is_success() {
        return State::Ready;
    }
    State::NotReady(answer.text().await.unwrap_or_default().trim().to_owned())
}

impl State {
    fn is_up(&self) -> bool {
        matches!(self, Self::Ready | Self::Up)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::Up => f.write_str("up"),
            Self::NotReady(reason) => write!(f, "is not ready: {reason}"),
            Self::Silent => f.write_str("does not answer"),
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Process {
    fn of(part: Part, state: State, addresses: &Addresses, pids: &HashMap<String, u32>) -> Self {
        Self {
            name: part.name(),
            address: addresses.address_of(part),
            pid: pids.get(part.name()).copied(),
            is_up: state.is_up(),
            state,
            version: None,
            revision: None,
            up_seconds: None,
            memory_bytes: None,
        }
    }

    /// Adds what a service tells.
    fn told(self, scrape: &Scrape, now: DateTime<Utc>) -> Self {
        let began = scrape.whole(Series("process_start_time_seconds", None));
        Self {
            version: scrape.label("build_info", "version"),
            revision: scrape.label("build_info", "revision"),
            up_seconds: began.map(|began| now.timestamp().unsigned_abs().saturating_sub(began)),
            memory_bytes: scrape.whole(Series("process_resident_memory_bytes", None)),
            ..self
        }
    }

    fn notable(&self) -> Option<Notable> {
        let runbook = match self.state {
            State::Ready | State::Up => return None,
            State::NotReady(_) => Some("ServiceNotServing"),
            State::Silent => Service::ALL.iter().any(|service| service.name() == self.name).then_some("ServiceDown"),
        };
        Some(Notable { what: format!("{} {}", self.name, self.state), runbook })
    }
}

impl Waiting {
    fn notable(&self) -> Option<Notable> {
        let (_, threshold, runbook) = NOTABLE.iter().find(|(what, ..)| *what == self.what)?;
        let how = match threshold {
            Threshold::Any => self.count.filter(|count| *count > 0)?.to_string(),
            Threshold::Seconds(seconds) => {
                let oldest = self.oldest_seconds.filter(|oldest| oldest >= seconds)?;
                format!("the oldest for {}", page::age(oldest))
            }
        };
        Some(Notable { what: format!("{}: {how}", self.what), runbook: Some(runbook) })
    }
}
