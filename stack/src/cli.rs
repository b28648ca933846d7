//! The command line of `stack`.

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::{Parser, Subcommand};
use stack::{
    certs::{self, CertificateSet},
    fleet, health,
    product_service::ProductService,
    signals::StopSignals,
    status::Board,
    telegram::Telegram,
    terminal, with,
};

use crate::{
    drive::{self, Drive},
    measure::{self, Measure},
    serve,
    tell::{self, Tell},
    up::{self, Up},
};

/// The local fleet: everything that the services need around them, on this machine alone.
#[derive(Debug, Parser)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole fleet until Ctrl-C.
    Up(Up),
    /// Tell a shopper's journey against the running fleet, step by step; without one, start it for the story.
    Demo(Tell),
    /// Show what runs of the local fleet, what waits where, and which limits were met.
    Status {
        /// The directory of the local fleet.
        #[arg(long, default_value = ".local")]
        state_dir: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Call a fleet as many shoppers would, and check its books afterwards.
    Load(Drive),
    /// Measure what a fleet of its own carries, what that costs, and what Postgres and the protocol do at best.
    Bench(Measure),
    /// Stop what a killed launcher left behind, and remove all local data.
    Clean {
        /// The directory for data, logs and configuration.
        #[arg(long, default_value = ".local")]
        state_dir: PathBuf,
    },
    /// Make certificates for development, unless a valid set is there.
    Certs {
        /// The directory they go to.
        #[arg(long, default_value = "certs")]
        dir: PathBuf,
        /// Make a new set in any case.
        #[arg(long)]
        force: bool,
    },
    /// Run a Kafka-protocol broker for one machine. It creates no topic by itself.
    Broker {
        /// Where it listens.
        #[arg(long, default_value = "127.0.0.1:9092")]
        listen: SocketAddr,
        /// The directory of its topics.
        #[arg(long, default_value = ".local/broker")]
        data: PathBuf,
    },
    /// Run the stand-in for ProductService, with the local catalogue.
    ProductService {
        /// Where it listens.
        #[arg(long, default_value = "127.0.0.1:50054")]
        listen: SocketAddr,
        /// The directory with its certificate.
        #[arg(long, default_value = "certs")]
        certs: PathBuf,
    },
    /// Run the stand-in for Telegram's Bot API.
    Telegram {
        /// Where it listens.
        #[arg(long, default_value = "127.0.0.1:8091")]
        listen: SocketAddr,
        /// The only bot key it accepts; any, unless given.
        #[arg(long)]
        key: Option<String>,
    },
    /// Ask a stand-in that runs alone whether it does its work.
    #[command(subcommand)]
    Health(Health),
    /// Run a command beside a private Postgres and broker: TEST_POSTGRES_URL and TEST_KAFKA_BROKERS.
    With {
        /// Use this broker instead of a private one.
        #[arg(long, value_name = "HOST:PORT")]
        kafka: Option<String>,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

#[derive(Debug, Subcommand)]
enum Health {
    /// That for ProductService.
    ProductService {
        /// Where it is, by a name that its certificate is valid for.
        #[arg(long, default_value = "https://localhost:50054")]
        address: String,
        /// The directory with the authority of its certificate.
        #[arg(long, default_value = "certs")]
        certs: PathBuf,
    },
    /// That for Telegram.
    Telegram {
        /// Where it is.
        #[arg(long, default_value = "http://127.0.0.1:8091")]
        address: String,
    },
}

/// Runs the command and returns the exit code.
pub async fn run(cli: Cli) -> anyhow::Result<u8> {
    match cli.command {
        Command::Up(up) => return up::run(up).await,
        Command::Demo(tell) => return tell::run(tell).await,
        Command::Status { state_dir, json } => return status(&state_dir, json).await,
        Command::Load(drive) => return drive::run(drive).await,
        Command::Bench(measure) => measure::run(measure).await?,
        Command::Clean { state_dir } => fleet::clean(&state_dir, &mut |line| terminal::print(line)).await?,
        Command::Certs { dir, force } => {
            let certificates = if force {
                certs::generate(&dir)?;
                CertificateSet::Made("as asked".into())
            } else {
                certs::ensure(&dir)?
            };
            match certificates {
                CertificateSet::Kept => {
                    terminal::print(format_args!("the certificates in {} are valid", dir.display()))
                }
                CertificateSet::Made(reason) => {
                    terminal::print(format_args!("made new certificates in {} ({reason})", dir.display()))
                }
            }
        }
        Command::Broker { listen, data } => serve::broker(listen, &data).await?,
        Command::ProductService { listen, certs } => {
            let mut signals = StopSignals::new()?;
            let service = ProductService::start_with(listen, &certs)?;
            terminal::print(format_args!("the product service listens on {}", service.address()));
            signals.next().await;
        }
        Command::Telegram { listen, key } => {
            let mut signals = StopSignals::new()?;
            let telegram = Telegram::start(listen, key)?;
            terminal::print(format_args!("the Telegram stand-in listens on {}", telegram.address()));
            signals.next().await;
        }
        Command::Health(Health::ProductService { address, certs }) => health::product_service(address, &certs).await?,
        Command::Health(Health::Telegram { address }) => health::telegram(&address).await?,
        Command::With { kafka, command } => return with::run(kafka, &command).await,
    }
    Ok(0)
}

/// The exit code is 1 unless the whole fleet is up.
async fn status(state: &Path, json: bool) -> anyhow::Result<u8> {
    let board = Board::of(state).await?;
    if json {
        terminal::print(serde_json::to_string_pretty(&board)?);
    } else if let Some(board) = &board {
        terminal::print(board);
    }
    if board.is_none() {
        terminal::print_error(format_args!("No fleet is ready on {}: make run starts one.", state.display()));
    }
    Ok(u8::from(board.is_none_or(|board| !board.is_whole)))
}
