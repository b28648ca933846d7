//! The commands that only notifications has, for people who look after its messages.

mod dead_letters;
mod deliveries;
mod letter;
mod places;
mod replay;

use clap::Subcommand;
use platform::{cli, config::service::PostgresConfig, kafka::Subscription};
use sqlx::migrate::Migrator;

use crate::usecase::Undelivered;
pub use dead_letters::DeadLettersCommand;
pub use deliveries::DeliveriesCommand;

#[derive(Debug, Subcommand)]
pub enum Commands {
    /// Show messages that Telegram has not taken, or have those tried again that were given up
    #[command(subcommand)]
    Deliveries(DeliveriesCommand),
    /// Show records that could not be read as events or kept, or write them to their topic again
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
}

pub async fn run(
    command: Commands,
    postgres: &PostgresConfig,
    migrations: &Migrator,
    subscription: impl FnOnce() -> anyhow::Result<Subscription>,
) -> anyhow::Result<()> {
    match command {
        Commands::Deliveries(command) => {
            let database = cli::database("notifications", postgres, migrations).await?;
            deliveries::run(command, &Undelivered { database }).await
        }
        Commands::DeadLetters(command) => dead_letters::run(command, &subscription()?).await,
    }
}
