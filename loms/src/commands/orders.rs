//! `loms orders`: an order with all that belongs to it.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::Subcommand;
use platform::{
    cli,
    terminal::{self, Table, ago, count, moment},
};
use proto::ids::OrderId;
use serde::Serialize;

use crate::{domain::inspected::InspectedOrder, usecase::Inspection};

#[derive(Debug, Subcommand)]
pub enum OrdersCommand {
    /// Show an order: its status, its lines, what it has reserved and where, and its events that are not published yet
    Show {
        /// The order's number
        #[arg(value_parser = cli::number::<OrderId>, allow_negative_numbers = true)]
        order: OrderId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub async fn run(command: OrdersCommand, inspection: &Inspection) -> anyhow::Result<()> {
    let OrdersCommand::Show { order, json } = command;
    let found = inspection.order(order).await?.with_context(|| format!("there is no order {order}"))?;
    if json {
        terminal::print_json(&Shown::of(&found))?
    } else {
        print(&found)
    }
    Ok(())
}

/// An order for programs.
#[derive(Serialize)]
struct Shown<'a> {
    order: i64,
    status: String,
    user: i64,
    created_at: DateTime<Utc>,
    pay_before: DateTime<Utc>,
    is_overdue: bool,
    items: Vec<Item>,
    /// Of a failed order.
    #[serde(skip_serializing_if = "Option::is_none")]
    shortage: Option<Short>,
    reservations: Vec<Reserved>,
    unpublished_events: Vec<Waiting<'a>>,
}

#[derive(Serialize)]
struct Item {
    sku: u32,
    count: u32,
}

#[derive(Serialize)]
struct Short {
    sku: u32,
    requested: u32,
    available: u64,
}

#[derive(Serialize)]
struct Reserved {
    sku: u32,
    warehouse: i64,
    count: u32,
}

#[derive(Serialize)]
struct Waiting<'a> {
    event_id: &'a str,
    status: &'a str,
    message: &'a str,
    occurred_at: DateTime<Utc>,
    traceparent: Option<&'a str>,
}

impl<'a> Shown<'a> {
    fn of(found: &'a InspectedOrder) -> Self {
        let (details, order) = (&found.details, &found.details.order);
        let items = details.lines.iter().map(|line| Item { sku: line.sku.get(), count: line.count.get() });
        let shortage = order.state.shortage().map(|short| Short {
            sku: short.sku.get(),
            requested: short.requested.get(),
            available: short.available,
        });
        let reservations = found.reservations.iter().map(|taken| Reserved {
            sku: taken.sku.get(),
            warehouse: taken.warehouse.get(),
            count: taken.count.get(),
        });
        let events = found.unsent.iter().map(|unsent| Waiting {
            event_id: &unsent.event.id,
            status: &unsent.event.status,
            message: &unsent.event.text,
            occurred_at: unsent.event.occurred_at,
            traceparent: unsent.traceparent.as_deref(),
        });
        Self {
            order: order.id.get(),
            status: order.state.status().to_string(),
            user: details.user.get(),
            created_at: order.created_at,
            pay_before: order.pay_before,
            is_overdue: found.is_overdue(),
            items: items.collect(),
            shortage,
            reservations: reservations.collect(),
            unpublished_events: events.collect(),
        }
    }
}

fn print(found: &InspectedOrder) {
    let InspectedOrder { details, reservations, unsent, now } = found;
    let order = &details.order;
    let at = |time: DateTime<Utc>| format!("{}, {}", moment(time), ago(time, *now));
    let overdue = if found.is_overdue() { " (overdue: it is about to be cancelled)" } else { "" };
    terminal::print(format_args!(
        "order       {}\nstatus      {}{overdue}\nuser        {}\ncreated     {}\npay before  {}",
        order.id,
        order.state.status(),
        details.user,
        at(order.created_at),
        at(order.pay_before),
    ));
    if let Some(short) = order.state.shortage() {
        let (sku, requested, available) = (short.sku, short.requested, short.available);
        terminal::print(format_args!("short of    SKU {sku}: {requested} were asked for, {available} were free"));
    }
    let mut items = Table::new(["SKU", "units"], &["SKU", "units"]);
    for line in &details.lines {
        items.row([line.sku.to_string(), line.count.to_string()]);
    }
    terminal::print(format_args!("\n{items}"));
    if found.has_lost_its_reservations() {
        terminal::print(
            "\nIt has lost its reservations, so it can be neither paid nor cancelled: see WorkerSkipsItems in the runbook.",
        );
    } else if reservations.is_empty() {
        terminal::print("\nNothing is reserved for it.");
    } else {
        let mut table = Table::new(["SKU", "warehouse", "reserved"], &["SKU", "warehouse", "reserved"]);
        for taken in reservations {
            table.row([taken.sku.to_string(), taken.warehouse.to_string(), taken.count.to_string()]);
        }
        terminal::print(format_args!("\n{table}"));
    }
    if unsent.is_empty() {
        return terminal::print("\nAll of its events are published.");
    }
    let mut table = Table::new(["status", "occurred", "event"], &[]);
    for waiting in unsent {
        let event = &waiting.event;
        table.row([event.status.clone(), at(event.occurred_at), event.id.clone()]);
    }
    let events = count(unsent.len(), "event waits", "events wait");
    terminal::print(format_args!("\n{events} to be published.\n\n{table}"));
}
