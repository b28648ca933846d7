//! `loms outbox`: what waits to be published.

use chrono::{DateTime, Utc};
use clap::Subcommand;
use platform::terminal::{self, Table, age, count};
use serde::Serialize;

use crate::{
    domain::inspected::{InspectedOutbox, RelayHolder},
    usecase::Inspection,
};

#[derive(Debug, Subcommand)]
pub enum OutboxCommand {
    /// Show how many events wait, for how long and of which orders, and whether a relay publishes
    Status {
        /// How many of the orders that wait longest are shown
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub async fn run(command: OutboxCommand, inspection: &Inspection) -> anyhow::Result<()> {
    let OutboxCommand::Status { limit, json } = command;
    let outbox = inspection.outbox(limit).await?;
    if json {
        terminal::print_json(&Shown::of(&outbox))?
    } else {
        print(&outbox)
    }
    Ok(())
}

/// The outbox for programs.
#[derive(Serialize)]
struct Shown<'a> {
    /// Up to 100,000.
    events: i64,
    orders: i64,
    oldest_at: Option<DateTime<Utc>>,
    oldest_age_seconds: u64,
    /// Who holds its lock.
    relay: Option<Holder<'a>>,
    longest_waiting: Vec<Waiting>,
}

#[derive(Serialize)]
struct Holder<'a> {
    pid: i32,
    application: Option<&'a str>,
    address: Option<&'a str>,
    since: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
struct Waiting {
    order: i64,
    events: i64,
    next_status: String,
    since: DateTime<Utc>,
    age_seconds: u64,
}

/// How long ago that was; clocks of databases may go back.
fn seconds(since: DateTime<Utc>, now: DateTime<Utc>) -> u64 {
    (now - since).num_seconds().try_into().unwrap_or_default()
}

impl<'a> Shown<'a> {
    fn of(outbox: &'a InspectedOutbox) -> Self {
        let relay = outbox.relay.as_ref().map(|holder| Holder {
            pid: holder.pid,
            application: holder.application.as_deref(),
            address: holder.address.as_deref(),
            since: holder.since,
        });
        let longest = outbox.longest.iter().map(|waiting| Waiting {
            order: waiting.order.get(),
            events: waiting.events,
            next_status: waiting.status.to_string(),
            since: waiting.since,
            age_seconds: seconds(waiting.since, outbox.now),
        });
        Self {
            events: outbox.events,
            orders: outbox.orders,
            oldest_at: outbox.oldest,
            oldest_age_seconds: outbox.oldest.map_or(0, |oldest| seconds(oldest, outbox.now)),
            relay,
            longest_waiting: longest.collect(),
        }
    }
}

fn print(outbox: &InspectedOutbox) {
    match outbox.oldest {
        None => terminal::print("Nothing waits to be published."),
        Some(oldest) => terminal::print(format_args!(
            "{} of {} to be published, the oldest for {}.",
            count(outbox.events, "event", "events"),
            count(outbox.orders, "order waits", "orders wait"),
            age(seconds(oldest, outbox.now)),
        )),
    }
    match &outbox.relay {
        None => terminal::print("No relay publishes at this moment: its lock is free."),
        Some(RelayHolder { pid, application, address, since }) => {
            let whose = application.as_deref().map_or_else(String::new, |name| format!(" of {name}"));
            let from = address.as_deref().map_or_else(String::new, |address| format!(" at {address}"));
            let held = since.map_or_else(String::new, |since| format!(" for {}", age(seconds(since, outbox.now))));
            terminal::print(format_args!("A relay publishes{held}: session {pid}{whose}{from} holds its lock."));
        }
    }
    if outbox.longest.is_empty() {
        return;
    }
    let mut table = Table::new(["order", "events", "next", "waits for"], &["order", "events"]);
    for waiting in &outbox.longest {
        let since = age(seconds(waiting.since, outbox.now));
        table.row([waiting.order.to_string(), waiting.events.to_string(), waiting.status.to_string(), since]);
    }
    terminal::print(format_args!("\n{table}"));
    let more = usize::try_from(outbox.orders).unwrap_or_default().saturating_sub(outbox.longest.len());
    if more > 0 {
        terminal::print(format_args!("and {}; --limit shows more", count(more, "more order", "more orders")));
    }
}
