//! The start of a fleet, step by step.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context as _, bail};

use super::{Addresses, Fleet, Installed, Part, Say, Settings, config, health, state::State};
use crate::{
    binaries,
    broker::Broker,
    catalogue,
    certs::{self, Outcome},
    postgres::{self, Postgres},
    process::Process,
};

/// All steps, in order.
pub(super) async fn start(settings: &Settings, say: Say<'_>) -> anyhow::Result<Fleet> {
    for service in Part::SERVICES {
        binaries::find(service.name())?;
    }
    let mut state = State::claim(&settings.state)?;
    state.end_leftovers(say).await?;
    postgres::stop_stale(state.directory(), say).await?;
    let installed = if settings.observability { Installed::find() } else { Installed::default() };
    let is_started = |part: Part| {
        let is_elsewhere = part == Part::Broker && settings.kafka.is_some();
        !is_elsewhere && (!part.only_observes() || installed.has(part))
    };
    settings.ports.check(is_started)?;
    begin_logs(&state, is_started)?;

    if let Outcome::Made(reason) = certs::ensure(&settings.certs)? {
        say(&format!("making certificates: {reason}"));
    }
    let certs = settings.certs.canonicalize()?;

    say("starting Postgres");
    let log = state.log(Part::Postgres);
    let postgres = Postgres::durable(state.directory(), settings.ports.postgres, &log, say).await?;
    let (checkout, loms, notifications) = (
        postgres.database("checkout").await?,
        postgres.database("loms").await?,
        postgres.database("notifications").await?,
    );
    let addresses = Addresses::new(settings, certs, &state, &installed, |part| match part {
        Part::Checkout => checkout.clone(),
        Part::Loms => loms.clone(),
        Part::Notifications => notifications.clone(),
        Part::Postgres
        | Part::Broker
        | Part::ProductService
        | Part::Telegram
        | Part::Prometheus
        | Part::Jaeger
        | Part::Grafana => String::new(),
    });

    let broker = match &settings.kafka {
        Some(kafka) => {
            say(&format!("using the broker {kafka}"));
            health::broker_answers(kafka).await?;
            None
        }
        None => {
            say("starting the broker");
            let mut broker = Broker::start(settings.ports.broker, &state.log(Part::Broker)).await?;
            state.remember(broker.process())?;
            Some(broker)
        }
    };
    let (services, stand_ins, observers) = (Vec::new(), Vec::new(), Vec::new());
    let mut fleet = Fleet { services, stand_ins, observers, broker, postgres, addresses, state };
    start_observers(&mut fleet, &installed, say)?;

    say("starting the product service and the Telegram stand-in");
    for part in [Part::ProductService, Part::Telegram] {
        let mut process = spawn(part, &fleet.addresses, &mut fleet.state)?;
        health::wait(part, &fleet.addresses, &mut process, &fleet.state.log(part)).await?;
        fleet.stand_ins.push((part, process));
    }
    for part in Part::SERVICES {
        prepare(part, &fleet, say).await?;
    }
    say("starting loms, checkout and notifications");
    for part in Part::SERVICES {
        let process = spawn(part, &fleet.addresses, &mut fleet.state)?;
        fleet.services.push((part, process));
    }
    // All at once, so that the first one to fail is the one that is reported.
    let (addresses, state) = (&fleet.addresses, &fleet.state);
    let healthy = fleet
        .services
        .iter_mut()
        .map(async |(part, process)| health::wait(*part, addresses, process, &state.log(*part)).await);
    futures::future::try_join_all(healthy).await?;
    await_observers(&mut fleet, say).await;
    fleet.state.publish(&fleet.addresses)?;
    Ok(fleet)
}

/// Starts the observers that are installed. They get ready while the rest starts.
fn start_observers(fleet: &mut Fleet, installed: &Installed, say: Say<'_>) -> anyhow::Result<()> {
    for part in Part::OBSERVERS {
        let Some(command) = installed.prepare(part, &fleet.addresses, &fleet.state)? else { continue };
        say(&format!("starting {}", part.name()));
        let process = Process::spawn(part.name(), command, &fleet.state.log(part))?;
        fleet.state.remember(&process)?;
        fleet.observers.push((part, process));
    }
    Ok(())
}

/// Waits until the observers are ready. One that does not get there is told of and left out.
async fn await_observers(fleet: &mut Fleet, say: Say<'_>) {
    let (addresses, state) = (&fleet.addresses, &fleet.state);
    let ready = fleet
        .observers
        .iter_mut()
        .map(async |(part, process)| (*part, health::wait(*part, addresses, process, &state.log(*part)).await));
    for (part, ready) in futures::future::join_all(ready).await {
        if let Err(error) = ready {
            say(&format!("the fleet goes on without {}: {error:#}", part.name()));
            fleet.observers.retain(|(other, _)| *other != part);
            fleet.addresses.forget(part);
        }
    }
}

/// Begins new logs, so that one run's are read in one piece; those of the run before are kept beside them.
fn begin_logs(state: &State, is_started: impl Fn(Part) -> bool) -> anyhow::Result<()> {
    for part in Part::ALL.into_iter().filter(|part| is_started(*part)) {
        let log = state.log(part);
        if log.exists() {
            fs::rename(&log, log.with_extension("previous.log"))
                .with_context(|| format!("cannot rename {}", log.display()))?;
        }
        fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    }
    Ok(())
}

/// Writes a service's configuration and brings its database up to date.
async fn prepare(part: Part, fleet: &Fleet, say: Say<'_>) -> anyhow::Result<()> {
    let service = fleet.addresses.service(part).context("not a service")?;
    config::write(part, service, &fleet.addresses)?;
    say(&format!("migrating the database {}", part.name()));
    run(part, &["migrate"], &service.config).await?;
    if part == Part::Loms && run(part, &["stock", "list"], &service.config).await?.lines().count() <= 1 {
        say("importing the first stock");
        let file = fleet.state.directory().join("stock.csv");
        fs::write(&file, catalogue::STOCK).with_context(|| format!("cannot write {}", file.display()))?;
        let file = file.to_str().context("the path of the state directory is not Unicode")?;
        run(part, &["stock", "import", file], &service.config).await?;
    }
    Ok(())
}

/// Runs a command of a service to its end; answers what it printed.
async fn run(part: Part, arguments: &[&str], config: &Path) -> anyhow::Result<String> {
    let name = part.name();
    let mut command = tokio::process::Command::new(binaries::find(name)?);
    command.args(arguments).arg("--config").arg(config).process_group(0).kill_on_drop(true);
    let Output { status, stdout, stderr } =
        command.output().await.with_context(|| format!("cannot run {name} {}", arguments.join(" ")))?;
    if !status.success() {
        bail!("{name} {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&stderr).trim());
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// Starts the process of a service or stand-in.
fn spawn(part: Part, addresses: &Addresses, state: &mut State) -> anyhow::Result<Process> {
    let mut command;
    match part {
        Part::Checkout | Part::Loms | Part::Notifications => {
            command = Command::new(binaries::find(part.name())?);
            let service = addresses.service(part).context("not a service")?;
            command.arg("serve").arg("--config").arg(&service.config);
        }
        Part::ProductService | Part::Telegram => {
            let listen = addresses.of(part);
            command = Command::new(binaries::find("stack")?);
            command.args([part.name(), "--listen", listen.trim_start_matches("http://")]);
            if part == Part::ProductService {
                command.arg("--certs").arg(&addresses.certs);
            }
        }
        Part::Postgres | Part::Broker | Part::Prometheus | Part::Jaeger | Part::Grafana => {
            bail!("{} is not started this way", part.name())
        }
    }
    let process = Process::spawn(part.name(), command, &state.log(part))?;
    state.remember(&process)?;
    Ok(process)
}
