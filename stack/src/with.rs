//! `stack with -- COMMAND`: runs a command beside a private Postgres and a private broker, and stops them when the
//! command ends. The command finds their addresses in its environment.

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _, stdin},
    os::unix::process::ExitStatusExt as _,
    process::ExitStatus,
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;
use tokio::{process::Command, time};

use crate::{
    broker::Broker,
    fleet::Service,
    ports,
    postgres::Postgres,
    signals::StopSignals,
    testing::{KAFKA_VARIABLE, POSTGRES_VARIABLE},
};

/// After a signal, the command may take so long to end.
const GRACE: Duration = Duration::from_secs(10);

/// Returns the exit code of the command. `kafka` is an external broker to use instead of a private one.
pub async fn run(kafka: Option<String>, command: &[OsString]) -> anyhow::Result<u8> {
    let (program, arguments) = command.split_first().context("no command given")?;
    let mut signals = StopSignals::new()?;
    let servers = tokio::select! {
        servers = Servers::start(kafka) => servers?,
        signal = signals.next() => return Ok(code_of_signal(signal.as_raw())),
    };
    let mut command = Command::new(program);
    command.args(arguments);
    command.env(POSTGRES_VARIABLE, servers.postgres.url("postgres")).env(KAFKA_VARIABLE, &servers.kafka);
    // The services' databases have no schema yet.
    for service in Service::ALL {
        command.env(service.facts().database_variable, servers.postgres.database(service.name()).await?);
    }
    let status = supervise(command, &mut signals).await;
    servers.stop().await;
    Ok(code_of(status.with_context(|| format!("cannot run {}", program.display()))?))
}

struct Servers {
    postgres: Postgres,
    broker: Option<Broker>,
    kafka: String,
    _logs: TempDir,
}

impl Servers {
    async fn start(kafka: Option<String>) -> anyhow::Result<Self> {
        let logs = tempfile::tempdir()?;
        let postgres = Postgres::throw_away().await?;
        let (broker, kafka) = match kafka {
            Some(address) => (None, address),
            None => {
                let broker =
                    Broker::start(ports::free()?, &logs.path().join("broker"), &logs.path().join("broker.log")).await?;
                let address = broker.address().to_string();
                (Some(broker), address)
            }
        };
        Ok(Self { postgres, broker, kafka, _logs: logs })
    }

    async fn stop(self) {
        if let Some(broker) = self.broker {
            broker.stop().await;
        }
        self.postgres.stop().await;
    }
}

/// Runs the command to its end, and passes stop signals on to it.
async fn supervise(mut command: Command, signals: &mut StopSignals) -> io::Result<ExitStatus> {
    // A command that reads from a terminal must stay in the terminal's foreground group, and so gets Ctrl-C from the
    // terminal. Any other command gets a group of its own, so that its children can be ended with it.
    let on_terminal = stdin().is_terminal();
    if !on_terminal {
        command.process_group(0);
    }
    let mut child = command.kill_on_drop(true).spawn()?;
    let Some(id) = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) else { return child.wait().await };
    let send = |signal| {
        let _ = if on_terminal { kill_process(id, signal) } else { kill_process_group(id, signal) };
    };
    let signal = tokio::select! {
        status = child.wait() => Err(status),
        signal = signals.next() => Ok(signal),
    };
    let status = match signal {
        Err(status) => status,
        Ok(signal) => {
            if !(on_terminal && signal == Signal::INT) {
                send(signal);
            }
            if let Ok(status) = time::timeout(GRACE, child.wait()).await {
                status
            } else {
                send(Signal::KILL);
                child.wait().await
            }
        }
    };
    if !on_terminal {
        send(Signal::KILL);
    }
    status
}

fn code_of(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(1),
        (None, Some(signal)) => code_of_signal(signal),
        (None, None) => 1,
    }
}

/// The exit code that shells use.
fn code_of_signal(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(1)
}
