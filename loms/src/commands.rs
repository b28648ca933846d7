//! The commands that only LOMS has, for people who keep its stock, and look after its orders.

mod orders;
mod outbox;
mod stock;

use clap::Subcommand;
use platform::{cli, config::service::PostgresConfig};
use sqlx::migrate::Migrator;

use crate::usecase::{Inspection, Stocks};
pub use orders::OrdersCommand;
pub use outbox::OutboxCommand;
pub use stock::StockCommand;

#[derive(Debug, Subcommand)]
pub enum Commands {
    /// Set or show what warehouses hold
    #[command(subcommand)]
    Stock(StockCommand),
    /// Show an order with all that belongs to it
    #[command(subcommand)]
    Orders(OrdersCommand),
    /// Show what waits to be published
    #[command(subcommand)]
    Outbox(OutboxCommand),
}

pub async fn run(command: Commands, config: &PostgresConfig, migrations: &Migrator) -> anyhow::Result<()> {
    let database = cli::database("loms", config, migrations).await?;
    match command {
        Commands::Stock(command) => stock::run(command, &Stocks::new(database)).await,
        Commands::Orders(command) => orders::run(command, &Inspection { database }).await,
        Commands::Outbox(command) => outbox::run(command, &Inspection { database }).await,
    }
}
