//! `stack load`: the options, and what becomes of the report.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::{Args, builder::RangedI64ValueParser, error::ErrorKind, value_parser};
use futures::FutureExt as _;
use stack::{
    doors::Door,
    fleet,
    load::{self, Choice, Pace, Plan, Scenario, Target},
    product_service::TOKEN,
    signals::StopSignals,
    terminal,
};
use tokio::sync::oneshot;

/// Without addresses, the load goes to the running local fleet. Ctrl-C ends it early, with the report so far; a second one
/// without.
#[derive(Debug, Args)]
pub struct Drive {
    /// What the shoppers do.
    #[arg(long, value_enum, default_value = "purchase")]
    scenario: Scenario,
    /// Call the services by gRPC or over HTTP/JSON.
    #[arg(long, value_enum, default_value = "grpc")]
    door: Door,
    /// So many users, each with one journey after the other.
    #[arg(long, default_value_t = 16, conflicts_with = "rate", value_parser = at_least_one())]
    users: u32,
    /// So many journeys a second instead, whatever the fleet does.
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// How long journeys begin.
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// How many SKUs of the catalogue are bought.
    #[arg(long, default_value_t = 100, value_parser = at_least_one())]
    skus: u32,
    /// How SKUs are chosen: uniform, zipf, or zipf: and an exponent.
    #[arg(long, default_value = "uniform")]
    choice: Choice,
    /// The same seed chooses the same goods.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Connections to each service.
    #[arg(long, default_value_t = 4, value_parser = at_least_one())]
    connections: u32,
    /// Where checkout is, at that door, such as https://localhost:50051; with http:// it is spoken to in plaintext.
    #[arg(long, requires_all = ["loms", "notifications", "product_service"])]
    checkout: Option<String>,
    /// Where loms is.
    #[arg(long, requires = "checkout")]
    loms: Option<String>,
    /// Where notifications is.
    #[arg(long, requires = "checkout")]
    notifications: Option<String>,
    /// Where ProductService is, whose catalogue is bought from.
    #[arg(long, requires = "checkout")]
    product_service: Option<String>,
    /// The token that ProductService asks for.
    #[arg(long, default_value = TOKEN)]
    product_token: String,
    /// The directory with ca.pem, client.pem and client.key.
    #[arg(long, default_value = "certs")]
    certs: PathBuf,
    /// The directory of the local fleet.
    #[arg(long, default_value = ".local")]
    state_dir: PathBuf,
    /// Write the report as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw the report into this file.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Do not check the books afterwards. They cannot be checked while others buy, too, or while orders that an earlier
    /// load left unpaid expire.
    #[arg(long)]
    no_books: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.01..=1_000_000.0).contains(rate));
    rate.ok_or_else(|| "must be a number from 0.01 to 1000000".to_owned())
}

fn at_least_one() -> RangedI64ValueParser<u32> {
    value_parser!(u32).range(1..)
}

/// Returns the exit code: 1 if the books are wrong.
pub async fn run(drive: Drive) -> anyhow::Result<u8> {
    if drive.scenario == Scenario::Health && drive.door == Door::Json {
        let fault = "--door json has no health checks, which are calls of gRPC\n";
        clap::Error::raw(ErrorKind::ArgumentConflict, fault).exit();
    }
    let mut signals = StopSignals::new()?;
    let target = target(&drive)?;
    let plan = Plan {
        target,
        scenario: drive.scenario,
        pace: drive.rate.map_or(Pace::Users(drive.users), Pace::Rate),
        duration: drive.duration,
        skus: drive.skus,
        choice: drive.choice,
        seed: drive.seed,
        checks_books: !drive.no_books,
        svg: drive.svg,
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let twice = async {
        signals.next().await;
        drop(stop);
        signals.next().await;
    };
    let report = tokio::select! {
        report = load::run(&plan, stopped.map(drop)) => report?,
        () = twice => return Ok(1),
    };
    terminal::print(report.to_string().trim_end());
    if let Some(path) = &drive.json {
        let text = serde_json::to_string_pretty(&report.json())?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(u8::from(!report.is_sound()))
}

fn target(drive: &Drive) -> anyhow::Result<Target> {
    let given = (&drive.checkout, &drive.loms, &drive.notifications, &drive.product_service);
    if let (Some(checkout), Some(loms), Some(notifications), Some(product_service)) = given {
        return Ok(Target {
            door: drive.door,
            checkout: checkout.clone(),
            loms: loms.clone(),
            notifications: notifications.clone(),
            product_service: product_service.clone(),
            product_token: drive.product_token.clone(),
            certs: drive.certs.clone(),
            connections: drive.connections,
        });
    }
    let running = fleet::running(&drive.state_dir);
    let fleet = running.with_context(|| {
        format!("no fleet is ready on {}: start one with make run, or name its addresses", drive.state_dir.display())
    })?;
    Ok(Target::local(&fleet, drive.door, drive.connections))
}
