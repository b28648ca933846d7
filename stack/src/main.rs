//! `stack`: starts the local fleet, or a part of it.

mod cli;
mod drive;
mod measure;
mod serve;
mod tell;
mod up;

use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use stack::terminal;

#[tokio::main]
async fn main() -> ExitCode {
    let level = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    // A log that cannot be written, as on a full disk, would be told of by a panic.
    tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr).log_internal_errors(false).init();
    match cli::run(cli::Cli::parse()).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            terminal::print_error(format_args!("stack: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
