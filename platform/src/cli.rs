//! The command line that every service has: `serve` (the default), `migrate`, `check-config`, `health`, and its own
//! commands.

mod health;

use std::{
    collections::BTreeSet,
    env,
    fmt::Display,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use sqlx::migrate::Migrator;

use crate::{
    config::{
        self, Faults, FromText as _, PostgresUrl,
        service::{PostgresConfig, ServiceConfig},
    },
    failure::chain,
    postgres::{self, Database, Reverted},
    service::{App, Service},
    telemetry::Telemetry,
    terminal, tls,
};

/// The exit code for a faulty configuration file or command line, from `sysexits.h`.
const EX_USAGE: u8 = 64;
/// A person does not wait for a database as patiently as a service.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

// For services without their own commands. This is no doc comment: clap would make it the help text of the program.
#[derive(Debug, Subcommand)]
pub enum NoCommands {}

/// Arguments of a service's own command that make no sense together. They end like a faulty command line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(pub String);

/// Reads an argument that is a number with bounds.
pub fn number<T: TryFrom<i64, Error: Display>>(text: &str) -> Result<T, String> {
    let number = text.parse::<i64>().map_err(|_| "must be a whole number".to_owned())?;
    T::try_from(number).map_err(|fault| fault.to_string())
}

/// The database for a service's own command: with as few connections as may be.
pub async fn database(service: &str, config: &PostgresConfig, migrations: &Migrator) -> anyhow::Result<Database> {
    let config = PostgresConfig { max_connections: PostgresConfig::MIN_CONNECTIONS, ..config.clone() };
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, Database::connect(service, &config, migrations));
    Ok(connecting.await.context("Postgres does not answer (postgres.connection_string)")??.background())
}

#[derive(Parser)]
#[command(version, about)]
struct Cli<C: Subcommand> {
    /// The configuration file [default: the one that the service's environment variable names, else
    /// <service>/config.yaml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Command<C>>,
}

#[derive(Subcommand)]
enum Command<C: Subcommand> {
    /// Run the service (the default)
    Serve,
    /// Bring the database's schema up to date
    Migrate(Migrate),
    /// Check the configuration file and report every fault of it
    CheckConfig,
    /// Ask the service that runs with the configuration file whether it is ready
    Health,
    #[command(flatten)]
    Own(C),
}

#[derive(Args)]
struct Migrate {
    /// Take back the latest migration instead, unless that drops a table or a column that holds rows
    #[arg(long)]
    revert: bool,
    /// Drop them all the same
    #[arg(long, requires = "revert")]
    yes: bool,
    /// Take the database's URL from this environment variable, and read no configuration file
    #[arg(long, value_name = "NAME")]
    url_from: Option<String>,
}

/// The complete `main` function of a service.
pub fn main<S: Service>() -> ExitCode {
    tls::install_crypto_provider();
    let command = Cli::<S::Commands>::command().name(S::NAME);
    let cli = match command.try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // Printing fails only when nobody is left to read it.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EX_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match run::<S>(cli) {
        Ok(code) => code,
        Err(error) if error.is::<Faults>() => {
            terminal::print_error(error);
            ExitCode::from(EX_USAGE)
        }
        Err(error) => {
            terminal::print_error(format_args!("{}: {}", S::NAME, chain(error.as_ref())));
            if error.is::<Misuse>() { ExitCode::from(EX_USAGE) } else { ExitCode::FAILURE }
        }
    }
}

/// Runs a command. `Ok` holds the exit code of a command that has already reported its result.
fn run<S: Service>(cli: Cli<S::Commands>) -> anyhow::Result<ExitCode> {
    let file = cli
        .config
        .or_else(|| env::var_os(format!("{}_CONFIG", S::NAME.to_uppercase())).map(PathBuf::from))
        .unwrap_or_else(|| Path::new(S::NAME).join("config.yaml"));
    let load = || config::load::<S::Config>(&file);
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(async {
        match cli.command.unwrap_or(Command::Serve) {
            Command::Serve => {
                let config = load()?;
                let ServiceConfig { log, jaeger, graylog, .. } = config.as_ref();
                let telemetry = Telemetry::install(S::NAME, log, jaeger.as_ref(), graylog.as_ref())?;
                let served = async { App::<S>::open(config).await?.serve().await }.await;
                if let Err(error) = &served {
                    tracing::error!(error = chain(error.as_ref()), "the service ends");
                }
                telemetry.shut_down().await;
                Ok(if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            }
            Command::Migrate(Migrate { revert, yes, url_from }) => {
                let postgres = match url_from {
                    Some(variable) => PostgresConfig::from_url(url_from_variable(&variable)?),
                    None => load()?.as_ref().postgres.clone(),
                };
                if revert {
                    print_reverted(S::NAME, &postgres::revert(S::NAME, &postgres, &S::migrations(), yes).await?);
                } else {
                    print_applied(S::NAME, &postgres::migrate(S::NAME, &postgres, &S::migrations()).await?);
                }
                Ok(ExitCode::SUCCESS)
            }
            Command::CheckConfig => {
                load()?;
                terminal::print(format_args!("{}: ok", file.display()));
                Ok(ExitCode::SUCCESS)
            }
            Command::Health => {
                health::check(&load()?.as_ref().admin).await?;
                terminal::print("ready");
                Ok(ExitCode::SUCCESS)
            }
            Command::Own(command) => S::run(command, load()?).await.map(|()| ExitCode::SUCCESS),
        }
    })
}

fn url_from_variable(variable: &str) -> anyhow::Result<PostgresUrl> {
    let text = env::var(variable).map_err(|_| anyhow::anyhow!("the environment variable {variable} is not set"))?;
    PostgresUrl::from_text(&text).map_err(|fault| anyhow::anyhow!("{variable}: {fault}"))
}

fn print_applied(service: &str, versions: &BTreeSet<i64>) {
    if versions.is_empty() {
        terminal::print(format_args!("{service}: the database is up to date"));
    }
    for version in versions {
        terminal::print(format_args!("{service}: applied {version}"));
    }
}

fn print_reverted(service: &str, Reverted { version, dropped }: &Reverted) {
    for dropped in dropped {
        terminal::print(format_args!("{service}: dropped {dropped}"));
    }
    terminal::print(format_args!("{service}: took back {version}"));
}
