//! `stack bench`: what a fleet of its own carries, what that costs, and what the database and the protocol do at best, all
//! in one run, so that ratios hold whatever the machine.

mod backlog;
mod ceiling;
mod compare;
mod doors;
mod gauges;
mod loads;
mod page;
mod past;
mod statements;
mod usage;

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::{
    Say,
    fleet::{Fleet, Ports, Service, Settings, import_stock},
    load::{Choice, Line, Pace, Plan, Prepared, Report, Scenario, Target},
};
use backlog::Backlog;
use ceiling::{Ceiling, Ceilings};
pub use compare::compare;
use doors::AtBothDoors;
pub use doors::doors;
use gauges::Ages;
use loads::{FIVEFOLD, HALF, JOURNEY, LOADS, Load};
pub use past::past;
use usage::{Cpu, Memory, millis};

/// More than can be bought.
const UNITS: u32 = 100_000_000;
const CONNECTIONS: u32 = 4;
/// A connection has at most 100 calls at once. What comes at a rate must not wait for that in the client.
const MANY_CONNECTIONS: u32 = 32;

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
    /// Orders whose events are published and stored as fast as that goes.
    pub backlog: i64,
}

impl Course {
    pub const WHOLE: Self = Self {
        load: Duration::from_secs(20),
        ceiling: Duration::from_secs(8),
        warm_up: Duration::from_secs(10),
        idle: Duration::from_secs(20),
        backlog: 50_000,
    };
    pub const QUICK: Self = Self {
        load: Duration::from_secs(6),
        ceiling: Duration::from_secs(3),
        warm_up: Duration::from_secs(3),
        idle: Duration::from_secs(5),
        backlog: 20_000,
    };
}

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
    /// How old events were when they were stored.
    event_ages: Ages,
}

impl Measured {
    /// The calls, or whole journeys where there are several.
    fn line(&self) -> anyhow::Result<&Line> {
        self.report.lines.iter().find(|line| line.name == "journey").context("nobody began a journey")
    }

    fn per_second(&self) -> anyhow::Result<f64> {
        Ok(self.report.per_second(self.line()?.count))
    }

    /// Those that came to a good end.
    fn good_per_second(&self) -> anyhow::Result<f64> {
        let line = self.line()?;
        Ok(self.report.per_second(line.count - line.codes.values().sum::<u64>()))
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
    doors: Vec<AtBothDoors>,
    backlog: Option<Backlog>,
    footprints: Vec<Footprint>,
    /// A table of what statements cost.
    statements: String,
    /// Round trips to Postgres a second, by service, while nothing happens.
    idle_round_trips: BTreeMap<&'static str, f64>,
}

impl Findings {
    /// Draws what the most users did.
    pub fn draw(&self, path: &Path) -> anyhow::Result<()> {
        peak(&self.loads)?.report.draw(path)
    }
}

/// The journeys of the most users.
fn peak(loads: &[Measured]) -> anyhow::Result<&Measured> {
    loads.iter().find(|measured| measured.load.is_peak()).context("there are journeys of many users")
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
    let findings = findings?;
    // What was measured so far is not lost if this Postgres cannot count.
    let statements = statements::statements(course, say).await;
    let statements = statements.unwrap_or_else(|error| format!("\nStatements were not counted: {error:#}\n"));
    Ok(Findings { statements, ..findings })
}

impl Bench {
    async fn start(course: Course, say: Say<'_>) -> anyhow::Result<Self> {
        Self::start_with(course, say, |_| {}).await
    }

    async fn start_with(course: Course, say: Say<'_>, change: impl FnOnce(&mut Settings)) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut settings = Settings::new(directory.path().join("state"), directory.path().join("certs"));
        settings.ports = Ports::free()?;
        // The fleet is measured, and not Telegram's bounds.
        settings.telegram_per_minute = Settings::TELEGRAM_UNBOUNDED;
        change(&mut settings);
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
            if load.is_peak() {
                let most = peak(&loads)?.per_second()?;
                for load in [Load::journeys(HALF, most / 2.0), Load::journeys(FIVEFOLD, most * 5.0)] {
                    loads.push(self.measure(load, say).await?);
                }
            }
        }
        let footprints = std::iter::zip(Service::ALL, std::iter::zip(idle, ready))
            .map(|(service, (idle, ready))| Footprint { service, idle, loaded: self.memory(service), ready })
            .collect();
        let doors = self.at_both_doors(say).await?;
        let ceilings = self.ceilings(say).await?;
        let postgres = self.postgres().await?;
        let backlog = Some(self.backlog(self.course.backlog, say).await?);
        let (build, machine, statements) = (usage::build(), usage::machine(), String::new());
        Ok(Findings {
            build,
            machine,
            postgres,
            loads,
            ceilings,
            doors,
            backlog,
            footprints,
            statements,
            idle_round_trips,
        })
    }

    async fn measure(&mut self, load: Load, say: Say<'_>) -> anyhow::Result<Measured> {
        self.calm().await?;
        let (round_trips, transactions) = (self.round_trips().await?, self.transactions().await?);
        let event_ages = self.event_ages().await?;
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
            event_ages: self.event_ages().await?.since(&event_ages),
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
            target: Target::local(self.fleet.addresses(), load.door, connections),
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
}
