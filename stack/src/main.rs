//! `stack`: starts the local fleet, or a part of it.

mod cli;
mod drive;
mod measure;
mod serve;
mod tell;
mod up;

use std::{env, process::ExitCode};

use clap::Parser as _;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use stack::terminal::{self, BAD};

/// The exit code for a faulty environment, from `sysexits.h`.
const EX_USAGE: u8 = 64;

#[tokio::main]
async fn main() -> ExitCode {
    let Some(level) = level() else {
        terminal::print_error(format_args!(
            "{BAD}stack:{BAD:#} the environment variable RUST_LOG must be error, warn, info, debug or trace, or directives \
             such as info,sqlx=debug"
        ));
        return ExitCode::from(EX_USAGE);
    };
    // A log that cannot be written, as on a full disk, would be told of by a panic.
    tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr).log_internal_errors(false).init();
    match cli::run(cli::Cli::parse()).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            terminal::print_error(format_args!("{BAD}stack:{BAD:#} {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// What is logged: what `RUST_LOG` says, else warnings. `None` if it cannot be read.
fn level() -> Option<EnvFilter> {
    let text = env::var("RUST_LOG").ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "warn".into());
    // `EnvFilter` takes any unknown text for the name of a module: a slip of the pen would turn all logging off.
    let is_known = |directive: &str| directive.contains('=') || directive.parse::<LevelFilter>().is_ok();
    let is_known = |directive: &str| is_known(directive) && !directive.contains(char::is_whitespace);
    text.split(',').map(str::trim).all(is_known).then(|| EnvFilter::try_new(&text).ok()).flatten()
}
