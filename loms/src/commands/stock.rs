//! `loms stock`: what warehouses hold.

use std::{fs, io, path::PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use platform::terminal;

use crate::{
    domain::{stock::Stock, stock_file::StockFile},
    usecase::Stocks,
};

#[derive(Debug, Subcommand)]
pub enum StockCommand {
    /// Set what is on hand from a CSV file with the header warehouse_id,sku,count
    Import {
        /// The file; stock that it does not name stays as it is
        file: PathBuf,
        /// Only where there is no stock yet
        #[arg(long)]
        first: bool,
    },
    /// Print all stock as CSV: warehouse_id,sku,on_hand,reserved,free
    List,
}

pub async fn run(command: StockCommand, stocks: &Stocks) -> anyhow::Result<()> {
    match command {
        StockCommand::Import { first: true, .. } if !stocks.all().await?.is_empty() => {
            terminal::print("there is stock already: nothing is imported");
        }
        StockCommand::Import { file, first } => {
            let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let text = StockFile::parse(&text);
            // Nobody buys yet; and who sees any stock must see all of it, or the first import would never be finished.
            let imported = if first { stocks.import_at_once(text).await } else { stocks.import(text).await };
            let lines = imported.with_context(|| file.display().to_string())?;
            terminal::print(format_args!("{}: {lines} lines imported", file.display()));
        }
        StockCommand::List => print(&stocks.all().await?).context("cannot write the list")?,
    }
    Ok(())
}

fn print(stock: &[Stock]) -> Result<(), csv::Error> {
    let mut output = csv::Writer::from_writer(io::stdout().lock());
    output.write_record(["warehouse_id", "sku", "on_hand", "reserved", "free"])?;
    for row in stock {
        output.serialize((row.warehouse.get(), row.sku.get(), row.on_hand.get(), row.reserved.get(), row.free()))?;
    }
    output.flush()?;
    Ok(())
}
