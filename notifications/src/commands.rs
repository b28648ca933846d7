//! The commands that only notifications has, for people who look after its messages.

mod deliveries;

use clap::Subcommand;
use platform::{cli, config::service::PostgresConfig};
use sqlx::migrate::Migrator;

use crate::usecase::Undelivered;
pub use deliveries::DeliveriesCommand;

#[derive(Debug, Subcommand)]
pub enum Commands {
    /// Show messages that Telegram has not taken, or have those tried again that were given up
    #[command(subcommand)]
    Deliveries(DeliveriesCommand),
}

pub async fn run(command: Commands, config: &PostgresConfig, migrations: &Migrator) -> anyhow::Result<()> {
    let Commands::Deliveries(command) = command;
    let database = cli::database("notifications", config, migrations).await?;
    deliveries::run(command, &Undelivered { database }).await
}
