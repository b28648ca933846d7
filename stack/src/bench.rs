//! `stack bench`: what a fleet of its own carries, what that costs, and what the database and the protocol do at best, all
//! in one run, so that ratios hold whatever the machine.

mod ceiling;
mod compare;
mod page;
mod past;
mod usage;

use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use chrono::Utc;
use sqlx::{Connection as _, PgConnection, Row as _};
use tempfile::TempDir;

use crate::{
    Say,
    fleet::{Fleet, Part, Ports, Replica, Service, Settings, import_stock},
    load::{Choice, Line, Pace, Plan, Prepared, Report, Scenario, Target},
};
use ceiling::{Ceiling, Ceilings};
pub use compare::compare;
pub use past::past;
use usage::{Cpu, Memory, millis};

/// More than can be bought.
const UNITS: u32 = 100_000_000;
/// How many SKUs are bought.
const SKUS: u32 = 100;
const CONNECTIONS: u32 = 4;
/// A connection has at most 100 calls at once. What comes at a rate must not wait for that in the client.
const MANY_CONNECTIONS: u32 = 32;
/// How long a fleet may take to have published and stored everything.
const CALM_TIMEOUT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(200);

/// How long things are measured.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    /// Each load.
    pub load: Duration,
    /// Each ceiling.
    pub ceiling: Duration,
    /// Before the first.
    pub warm_up: Duration,
    pub idle: Duration,
}

impl Course {
    pub const WHOLE: Self = Self {
        load: Duration::from_secs(20),
        ceiling: Duration::from_secs(8),
        warm_up: Duration::from_secs(10),
        idle: Duration::from_secs(20),
    };
    pub const QUICK: Self = Self {
        load: Duration::from_secs(6),
        ceiling: Duration::from_secs(3),
        warm_up: Duration::from_secs(3),
        idle: Duration::from_secs(5),
    };
}

/// What is asked of the fleet, in this order.
#[derive(Debug, Clone, Copy)]
struct Load {
    name: &'static str,
    scenario: Scenario,
    pace: Pace,
    skus: u32,
}

impl Load {
    const fn users(name: &'static str, scenario: Scenario, users: u32) -> Self {
        Self { name, scenario, pace: Pace::Users(users), skus: SKUS }
    }
}

const EMPTY: &str = "empty RPC";
const STOCKS: &str = "Stocks";
const ADD: &str = "AddToCart";
const ORDER: &str = "CreateOrder, 100 SKUs";
const HOT: &str = "CreateOrder, one SKU";
const JOURNEY: &str = "journey";
const HALF: &str = "journeys, half of what can be served";
const FIVEFOLD: &str = "journeys, five times of what can be served";

/// The most users.
const CROWD: u32 = 64;

const LOADS: &[Load] = &[
    Load::users(EMPTY, Scenario::Health, 1),
    Load::users(EMPTY, Scenario::Health, CROWD),
    Load::users(STOCKS, Scenario::Stocks, 1),
    Load::users(STOCKS, Scenario::Stocks, CROWD),
    Load::users(JOURNEY, Scenario::Purchase, 1),
    Load::users(JOURNEY, Scenario::Purchase, 4),
    Load::users(JOURNEY, Scenario::Purchase, 16),
    Load::users(JOURNEY, Scenario::Purchase, CROWD),
    Load::users(ADD, Scenario::Add, 1),
    Load::users(ADD, Scenario::Add, CROWD),
    Load::users(ORDER, Scenario::Order, 1),
    Load::users(ORDER, Scenario::Order, 16),
    Load::users(ORDER, Scenario::Order, CROWD),
    Load { name: HOT, scenario: Scenario::Order, pace: Pace::Users(CROWD), skus: 1 },
];

/// One order a transaction, at several numbers of connections; and many.
const CEILINGS: [Ceiling; 4] = [
    Ceiling { orders: 1, connections: 1 },
    Ceiling { orders: 1, connections: 4 },
    Ceiling { orders: 1, connections: 16 },
    Ceiling { orders: 64, connections: 1 },
];

/// What came of a load.
#[derive(Debug, Clone)]
struct Measured {
    load: Load,
    report: Report,
    /// CPU time until everything was published and stored.
    cpu: Cpu,
    /// Round trips to Postgres, by service.
    round_trips: BTreeMap<&'static str, f64>,
    /// Transactions in all databases.
    transactions: f64,
}

impl Findings {
    /// Draws what the most users did.
    pub fn draw(&self, path: &Path) -> anyhow::Result<()> {
        let crowd = self
            .loads
            .iter()
            .find(|measured| measured.load.name == JOURNEY && measured.load.pace == Pace::Users(CROWD));
        crowd.context("there are journeys")?.report.draw(path)
    }
}

impl Measured {
    /// The calls, or whole journeys where there are several.
    fn line(&self) -> anyhow::Result<&Line> {
        self.report.lines.iter().find(|line| line.name == "journey").context("nobody began a journey")
    }

    fn per_second(&self) -> anyhow::Result<f64> {
        Ok(self.report.per_second(self.line()?.count))
    }
}

#[derive(Debug, Clone, Copy)]
struct Footprint {
    service: Service,
    idle: Memory,
    loaded: Memory,
    /// From its start until it says that it is ready, in milliseconds.
    ready: f64,
}

/// Everything that was measured.
#[derive(Debug)]
pub struct Findings {
    build: String,
    machine: String,
    postgres: String,
    loads: Vec<Measured>,
    /// Orders a second, with one order a transaction and with many.
    ceilings: Vec<(Ceiling, f64)>,
    footprints: Vec<Footprint>,
    /// Round trips to Postgres a second, by service, while nothing happens.
    idle_round_trips: BTreeMap<&'static str, f64>,
}

/// A fleet that is measured, in directories that go with it.
struct Bench {
    fleet: Fleet,
    course: Course,
    _directory: TempDir,
}

/// Measures everything, with a fleet of its own.
pub async fn run(course: Course, say: Say<'_>) -> anyhow::Result<Findings> {
    let mut bench = Bench::start(course, say).await?;
    let findings = bench.measure_all(say).await;
    bench.fleet.stop().await;
    findings
}

/// Journeys a second of the most users.
fn peak(loads: &[Measured]) -> anyhow::Result<f64> {
    let is_crowd = |load: Load| load.name == JOURNEY && load.pace == Pace::Users(CROWD);
    let crowd = loads.iter().find(|measured| is_crowd(measured.load));
    crowd.context("there are journeys")?.per_second()
}

/// The commit that the work tree is at, and the date.
fn build() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|_| output.status.success())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "no commit".to_owned());
    let changed = git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
    format!("{commit}{}, {}", if changed { " and changes" } else { "" }, Utc::now().format("%-d %B %Y"))
}

impl Bench {
    async fn start(course: Course, say: Say<'_>) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut settings = Settings::new(directory.path().join("state"), directory.path().join("certs"));
        settings.ports = Ports::free()?;
        let fleet = Fleet::start(&settings, say).await?;
        import_stock(fleet.addresses(), UNITS).await?;
        Ok(Self { fleet, course, _directory: directory })
    }

    async fn measure_all(&mut self, say: Say<'_>) -> anyhow::Result<Findings> {
        let idle: Vec<Memory> = Service::ALL.map(|service| self.memory(service)).into();
        let mut ready = Vec::new();
        for service in Service::ALL {
            ready.push(self.time_to_ready(service).await?);
        }
        say("idle");
        let idle_round_trips = self.idle_round_trips().await?;
        say("warming up");
        self.shop(Load::users(JOURNEY, Scenario::Purchase, 16), self.course.warm_up).await?;
        let mut loads = Vec::new();
        for load in LOADS {
            loads.push(self.measure(*load, say).await?);
            if load.name == JOURNEY && load.pace == Pace::Users(CROWD) {
                let half = Load { pace: Pace::Rate(peak(&loads)? / 2.0), ..Load::users(HALF, Scenario::Purchase, 0) };
                loads.push(self.measure(half, say).await?);
            }
        }
        let fivefold = Pace::Rate(peak(&loads)? * 5.0);
        let fivefold = Load { pace: fivefold, ..Load::users(FIVEFOLD, Scenario::Purchase, 0) };
        loads.push(self.measure(fivefold, say).await?);
        let footprints = std::iter::zip(Service::ALL, std::iter::zip(idle, ready))
            .map(|(service, (idle, ready))| Footprint { service, idle, loaded: self.memory(service), ready })
            .collect();
        let ceilings = self.ceilings(say).await?;
        let postgres = self.postgres().await?;
        let (build, machine) = (build(), usage::machine());
        Ok(Findings { build, machine, postgres, loads, ceilings, footprints, idle_round_trips })
    }

    async fn measure(&mut self, load: Load, say: Say<'_>) -> anyhow::Result<Measured> {
        self.calm().await?;
        let (round_trips, transactions) = (self.round_trips().await?, self.transactions().await?);
        let cpu = Cpu::of(&mut self.fleet);
        let report = self.shop(load, self.course.load).await?;
        self.calm().await?;
        let cpu = Cpu::of(&mut self.fleet) - cpu;
        let before = |service| round_trips.get(service).copied().unwrap_or_default();
        let measured = Measured {
            load,
            report,
            cpu,
            round_trips: self.round_trips().await?.into_iter().map(|(name, all)| (name, all - before(name))).collect(),
            transactions: self.transactions().await? - transactions,
        };
        let line = measured.line()?;
        say(&format!(
            "{}, {}: {:.0} a second, p50 {:.1} ms, p99 {:.1} ms",
            load.name,
            page::pace(load.pace),
            measured.per_second()?,
            millis(line.p50),
            millis(line.p99),
        ));
        Ok(measured)
    }

    /// Runs a load.
    async fn shop(&self, load: Load, duration: Duration) -> anyhow::Result<Report> {
        let connections = match load.pace {
            Pace::Users(_) => CONNECTIONS,
            Pace::Rate(_) => MANY_CONNECTIONS,
        };
        let plan = Plan {
            target: Target::local(self.fleet.addresses(), connections),
            scenario: load.scenario,
            pace: load.pace,
            duration,
            skus: load.skus,
            choice: Choice::Uniform,
            seed: 1,
            checks_books: false,
            svg: None,
        };
        let prepared = Prepared::new(&plan).await?;
        let ran = prepared.shop(&plan).await;
        prepared.report(&plan, ran).await
    }

    /// Waits until all events are published, and all that are published are stored.
    async fn calm(&self) -> anyhow::Result<()> {
        let began_at = Instant::now();
        let addresses = self.fleet.addresses();
        let mut databases = (
            PgConnection::connect(&addresses.loms.database).await?,
            PgConnection::connect(&addresses.notifications.database).await?,
        );
        let count = async |connection: &mut PgConnection, query: &'static str| -> anyhow::Result<i64> {
            Ok(sqlx::query_scalar(query).fetch_one(connection).await?)
        };
        let mut told = -1;
        loop {
            let unpublished = count(&mut databases.0, "SELECT count(*) FROM outbox").await?;
            let due = count(&mut databases.1, "SELECT count(*) FROM delivery WHERE state = 'due'").await?;
            let messages = count(&mut databases.1, "SELECT count(*) FROM message").await?;
            if unpublished == 0 && due == 0 && messages == told {
                return Ok(());
            }
            told = messages;
            ensure!(
                began_at.elapsed() < CALM_TIMEOUT,
                "the fleet does not come to rest: {unpublished} events, {due} deliveries"
            );
            tokio::time::sleep(POLL).await;
        }
    }

    fn memory(&mut self, service: Service) -> Memory {
        self.fleet.id(Part::Service(service)).map(Memory::of).unwrap_or_default()
    }

    async fn time_to_ready(&self, service: Service) -> anyhow::Result<f64> {
        let began_at = Instant::now();
        let replica = Replica::start(service, self.fleet.addresses(), &[])?;
        while !replica.is_ready().await {
            ensure!(began_at.elapsed() < CALM_TIMEOUT, "a replica of {} does not become ready", service.name());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let ready = millis(began_at.elapsed());
        replica.stop().await;
        Ok(ready)
    }

    async fn idle_round_trips(&self) -> anyhow::Result<BTreeMap<&'static str, f64>> {
        let before = self.round_trips().await?;
        tokio::time::sleep(self.course.idle).await;
        let after = self.round_trips().await?;
        let seconds = self.course.idle.as_secs_f64();
        Ok(after.into_iter().map(|(name, after)| (name, (after - before[name]) / seconds)).collect())
    }

    /// Since the services began.
    async fn round_trips(&self) -> anyhow::Result<BTreeMap<&'static str, f64>> {
        let mut round_trips = BTreeMap::new();
        for service in Service::ALL {
            let url = format!("http://{}/metrics", self.fleet.addresses().service(service).admin);
            let text = reqwest::get(url).await?.text().await?;
            let series = text.lines().filter(|line| line.starts_with("postgres_round_trips_total{"));
            let values = series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
            round_trips.insert(service.name(), values.sum());
        }
        Ok(round_trips)
    }

    /// Transactions that ended in all databases, as Postgres counts them.
    async fn transactions(&self) -> anyhow::Result<f64> {
        let mut connection = PgConnection::connect(&self.fleet.addresses().loms.database).await?;
        let query = "SELECT sum(xact_commit + xact_rollback)::double precision FROM pg_stat_database";
        Ok(sqlx::query_scalar(query).fetch_one(&mut connection).await?)
    }

    async fn ceilings(&self, say: Say<'_>) -> anyhow::Result<Vec<(Ceiling, f64)>> {
        let ceilings = Ceilings::new(&self.fleet.addresses().loms.database).await?;
        let mut measured = Vec::new();
        for ceiling in CEILINGS {
            let per_second = ceilings.measure(ceiling, self.course.ceiling).await?;
            let Ceiling { orders, connections } = ceiling;
            say(&format!(
                "Postgres alone, {orders} orders a transaction, {connections} connections: {per_second:.0} orders a second"
            ));
            measured.push((ceiling, per_second));
        }
        ceilings.remove().await?;
        Ok(measured)
    }

    /// The version of Postgres, and the settings that matter.
    async fn postgres(&self) -> anyhow::Result<String> {
        let mut connection = PgConnection::connect(&self.fleet.addresses().loms.database).await?;
        let query = "SELECT name, current_setting(name) AS value FROM pg_settings WHERE name IN ('server_version', 'fsync', \
                     'synchronous_commit', 'full_page_writes', 'shared_buffers', 'wal_level', 'max_wal_size') ORDER BY name";
        let rows = sqlx::query(query).fetch_all(&mut connection).await?;
        let settings = rows
            .iter()
            .map(|row| anyhow::Ok(format!("{} {}", row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)?)));
        Ok(settings.collect::<anyhow::Result<Vec<_>>>()?.join(", "))
    }
}
