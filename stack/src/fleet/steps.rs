//! The start of a fleet, step by step.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context as _, bail};

use super::{Addresses, Fleet, Installed, Observer, Part, Service, Settings, StandIn, config, health, state::State};
use crate::{
    Say,
    alertmanager::Receivers,
    binaries,
    broker::Broker,
    catalogue,
    certs::{self, CertificateSet},
    postgres::{self, Postgres},
    process::Process,
};

pub(super) async fn start(settings: &Settings, say: Say<'_>) -> anyhow::Result<Fleet> {
    for service in Service::ALL {
        binaries::find(service.name())?;
    }
    let mut state = State::claim(&settings.state)?;
    state.end_leftovers(say).await?;
    postgres::stop_stale(state.directory(), say).await?;
    let installed = if settings.observability { Installed::find() } else { Installed::default() };
    let is_started = |part: Part| match part {
        Part::Broker => settings.kafka.is_none(),
        Part::Observer(observer) => installed.has(observer),
        Part::Postgres | Part::StandIn(_) | Part::Service(_) => true,
    };
    settings.ports.check(is_started)?;
    begin_logs(&state, is_started)?;

    if let CertificateSet::Made(reason) = certs::ensure(&settings.certs)? {
        say(&format!("making certificates: {reason}"));
    }
    let certs = settings.certs.canonicalize().with_context(|| format!("cannot find {}", settings.certs.display()))?;

    say("starting Postgres");
    let log = state.log(Part::Postgres);
    let postgres =
        Postgres::durable(state.directory(), settings.ports.postgres, settings.counts_statements, &log, say).await?;
    let mut databases = HashMap::new();
    for service in Service::ALL {
        databases.insert(service, postgres.database(service.name()).await?);
    }
    let addresses = Addresses::new(settings, certs, &state, &installed, &databases);

    let broker = match &settings.kafka {
        Some(kafka) => {
            say(&format!("using the broker {kafka}"));
            health::broker_answers(kafka).await?;
            None
        }
        None => {
            say("starting the broker");
            let mut broker =
                Broker::start(settings.ports.broker, &state.directory().join("broker"), &state.log(Part::Broker))
                    .await?;
            state.remember(broker.process())?;
            Some(broker)
        }
    };
    let (services, stand_ins, observers) = (Vec::new(), Vec::new(), Vec::new());
    let mut fleet = Fleet { services, stand_ins, observers, broker, postgres, addresses, state };
    start_observers(&mut fleet, &installed, &settings.receivers, say)?;

    say("starting the product service and the Telegram stand-in");
    for stand_in in StandIn::ALL {
        let part = Part::StandIn(stand_in);
        let mut process = spawn(part, stand_in_command(stand_in, &fleet.addresses)?, &mut fleet.state)?;
        health::wait(part, &mut process, &fleet.addresses, &fleet.state).await?;
        fleet.stand_ins.push((stand_in, process));
    }
    for service in Service::ALL {
        prepare(service, &fleet, settings, say).await?;
    }
    let [first @ .., last] = Service::ALL.map(Service::name);
    say(&format!("starting {} and {last}", first.join(", ")));
    for service in Service::ALL {
        let command = service_command(service, &fleet.addresses.service(service).config)?;
        let process = spawn(Part::Service(service), command, &mut fleet.state)?;
        fleet.services.push((service, process));
    }
    // Wait for all at once: the first one to fail is the cause, and must be the one that is reported.
    let (addresses, state) = (&fleet.addresses, &fleet.state);
    let healthy = fleet
        .services
        .iter_mut()
        .map(async |(service, process)| health::wait(Part::Service(*service), process, addresses, state).await);
    futures::future::try_join_all(healthy).await?;
    await_observers(&mut fleet, say).await;
    fleet.state.publish(&fleet.addresses)?;
    Ok(fleet)
}

/// Starts the observers that are installed. They become ready while the rest starts.
fn start_observers(
    fleet: &mut Fleet,
    installed: &Installed,
    receivers: &Receivers,
    say: Say<'_>,
) -> anyhow::Result<()> {
    for observer in Observer::ALL {
        let directory = fleet.state.directory();
        let Some(command) = installed.prepare(observer, &fleet.addresses, receivers, directory)? else { continue };
        let part = Part::Observer(observer);
        say(&format!("starting {}", part.name()));
        let process = spawn(part, command, &mut fleet.state)?;
        fleet.observers.push((observer, process));
    }
    Ok(())
}

/// Waits until the observers are ready. An observer that fails is reported and left out.
async fn await_observers(fleet: &mut Fleet, say: Say<'_>) {
    let (addresses, state) = (&fleet.addresses, &fleet.state);
    let ready = fleet.observers.iter_mut().map(async |(observer, process)| {
        (*observer, health::wait(Part::Observer(*observer), process, addresses, state).await)
    });
    for (observer, ready) in futures::future::join_all(ready).await {
        if let Err(error) = ready {
            say(&format!("the fleet goes on without {}: {error:#}", Part::Observer(observer).name()));
            fleet.observers.retain(|(other, _)| *other != observer);
            fleet.addresses.forget(observer);
        }
    }
}

/// Begins new log files, so that each holds one run only. The files of the run before are kept beside them.
fn begin_logs(state: &State, is_started: impl Fn(Part) -> bool) -> anyhow::Result<()> {
    for part in Part::all().filter(|part| is_started(*part)) {
        let log = state.log(part);
        if log.exists() {
            fs::rename(&log, log.with_extension("previous.log"))
                .with_context(|| format!("cannot rename {}", log.display()))?;
        }
        fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    }
    Ok(())
}

/// Writes a service's configuration and migrates its database.
async fn prepare(service: Service, fleet: &Fleet, settings: &Settings, say: Say<'_>) -> anyhow::Result<()> {
    let config = &fleet.addresses.service(service).config;
    config::write(service, &fleet.addresses, settings)?;
    say(&format!("migrating the database {}", service.name()));
    run(service, &["migrate"], config).await?;
    // A list of one line has the header only: the stock is empty.
    if service == Service::Loms && run(service, &["stock", "list"], config).await?.lines().count() <= 1 {
        say("importing the first stock");
        let file = fleet.state.directory().join("stock.csv");
        fs::write(&file, catalogue::STOCK).with_context(|| format!("cannot write {}", file.display()))?;
        let file = file.to_str().context("the path of the state directory is not Unicode")?;
        run(service, &["stock", "import", file], config).await?;
    }
    Ok(())
}

/// Sets what is on hand of everything that is in stock.
pub async fn import_stock(fleet: &Addresses, on_hand: u32) -> anyhow::Result<()> {
    let config = &fleet.loms.config;
    let stock = run(Service::Loms, &["stock", "list"], config).await?;
    let mut text = "warehouse_id,sku,count\n".to_owned();
    for line in stock.lines().skip(1) {
        let mut fields = line.split(',');
        let (warehouse, sku) = fields.next().zip(fields.next()).context("a line of the stock has too few fields")?;
        writeln!(text, "{warehouse},{sku},{on_hand}")?;
    }
    let file = config.with_file_name("stock.csv");
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    let file = file.to_str().context("the path of the state directory is not Unicode")?;
    run(Service::Loms, &["stock", "import", file], config).await?;
    Ok(())
}

/// Runs a command of a service to its end, and returns its standard output.
async fn run(service: Service, arguments: &[&str], config: &Path) -> anyhow::Result<String> {
    let name = service.name();
    let mut command = tokio::process::Command::new(binaries::find(name)?);
    command.args(arguments).arg("--config").arg(config).process_group(0).kill_on_drop(true);
    let Output { status, stdout, stderr } =
        command.output().await.with_context(|| format!("cannot run {name} {}", arguments.join(" ")))?;
    if !status.success() {
        bail!("{name} {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&stderr).trim());
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

pub(super) fn service_command(service: Service, config: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(binaries::find(service.name())?);
    command.arg("serve").arg("--config").arg(config);
    Ok(command)
}

fn stand_in_command(stand_in: StandIn, addresses: &Addresses) -> anyhow::Result<Command> {
    let mut command = Command::new(binaries::find("stack")?);
    command.args([Part::StandIn(stand_in).name(), "--listen"]);
    match stand_in {
        StandIn::ProductService => {
            command.arg(addresses.product_service.to_string()).arg("--certs").arg(&addresses.certs)
        }
        StandIn::Telegram => command.arg(addresses.telegram.to_string()),
    };
    Ok(command)
}

fn spawn(part: Part, command: Command, state: &mut State) -> anyhow::Result<Process> {
    let process = Process::spawn(part.name(), command, &state.log(part))?;
    state.remember(&process)?;
    Ok(process)
}
