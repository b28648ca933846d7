//! `notifications deliveries`: what Telegram has not taken.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args, Subcommand};
use platform::{
    cli,
    config::Quantity as _,
    terminal::{self, Table, ago, count},
};
use proto::ids::OrderId;
use serde::Serialize;

use crate::{
    domain::undelivered::{self, Dead, Fate},
    usecase::{Retry, Undelivered},
};

/// More orders than these are only counted.
const SHOWN_ORDERS: usize = 20;

#[derive(Debug, Subcommand)]
pub enum DeliveriesCommand {
    /// Show deliveries that are due, the oldest first, and that were given up, the latest first
    List(List),
    /// Have deliveries tried again that were given up; those that are due are tried anyway
    Retry(Again),
}

#[derive(Debug, Args)]
pub struct List {
    /// Only those that are still to be made
    #[arg(long)]
    due: bool,
    /// Only those that were given up
    #[arg(long)]
    dead: bool,
    /// Only those of this order
    #[arg(long, value_name = "N", value_parser = cli::number::<OrderId>, allow_negative_numbers = true)]
    order: Option<OrderId>,
    /// How many of each are shown
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true).args(["dead", "order"]))]
pub struct Again {
    /// All that were given up, unless --order or --within say less
    #[arg(long)]
    dead: bool,
    /// Those of this order
    #[arg(long, value_name = "N", value_parser = cli::number::<OrderId>, allow_negative_numbers = true)]
    order: Option<OrderId>,
    /// Those that were given up within this time, such as 2h
    #[arg(long, value_name = "TIME", value_parser = time)]
    within: Option<Duration>,
    /// Only say which they are
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(command: DeliveriesCommand, undelivered: &Undelivered) -> anyhow::Result<()> {
    match command {
        DeliveriesCommand::List(list) => list.run(undelivered).await,
        DeliveriesCommand::Retry(again) => again.run(undelivered).await,
    }
}

/// A delivery for programs.
#[derive(Serialize)]
struct Shown<'a> {
    message: i64,
    order: i64,
    user: i64,
    status: &'a str,
    text: &'a str,
    state: &'static str,
    attempts: i32,
    received_at: DateTime<Utc>,
    /// Of one that is due.
    next_attempt_at: Option<DateTime<Utc>>,
    /// Of one that is dead.
    given_up_at: Option<DateTime<Utc>>,
    error: Option<&'a str>,
}

impl<'a> Shown<'a> {
    fn of(delivery: &'a undelivered::Undelivered) -> Self {
        let (state, next_attempt_at, given_up_at) = match delivery.fate {
            Fate::Due(next) => ("due", Some(next), None),
            Fate::Dead(since) => ("dead", None, Some(since)),
        };
        Self {
            message: delivery.message,
            order: delivery.order.get(),
            user: delivery.user.get(),
            status: &delivery.status,
            text: &delivery.text,
            state,
            attempts: delivery.attempts,
            received_at: delivery.received_at,
            next_attempt_at,
            given_up_at,
            error: delivery.error.as_deref(),
        }
    }
}

impl List {
    async fn run(&self, undelivered: &Undelivered) -> anyhow::Result<()> {
        let both = self.due == self.dead;
        // One more tells whether there are more.
        let most = |is_wanted: bool| if both || is_wanted { self.limit + 1 } else { 0 };
        let found = undelivered.list(self.order, most(self.due), most(self.dead)).await?;
        let (mut due, mut dead): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|delivery| matches!(delivery.fate, Fate::Due(_)));
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let are_more = due.len() > limit || dead.len() > limit;
        due.truncate(limit);
        dead.truncate(limit);
        if self.json {
            let shown: Vec<_> = due.iter().chain(&dead).map(Shown::of).collect();
            return Ok(terminal::print_json(&shown)?);
        }
        if due.is_empty() && dead.is_empty() {
            let what = if both {
                "due or dead"
            } else if self.due {
                "due"
            } else {
                "dead"
            };
            terminal::print(format_args!("No delivery{} is {what}.", of_order(self.order)));
            return Ok(());
        }
        print(due.iter().chain(&dead));
        if are_more {
            terminal::print("There are more; --limit shows them.");
        }
        Ok(())
    }
}

fn of_order(order: Option<OrderId>) -> String {
    order.map_or_else(String::new, |order| format!(" of order {order}"))
}

fn print<'a>(deliveries: impl Iterator<Item = &'a undelivered::Undelivered>) {
    let now = Utc::now();
    let names = ["message", "order", "state", "when", "arrived", "attempts", "error"];
    let mut table = Table::new(names, &["message", "order", "attempts"]);
    for delivery in deliveries {
        let (state, when) = match delivery.fate {
            Fate::Due(next) if next <= now => ("due", "now".to_owned()),
            Fate::Due(next) => ("due", ago(next, now)),
            Fate::Dead(since) => ("dead", ago(since, now)),
        };
        table.row([
            delivery.message.to_string(),
            delivery.order.to_string(),
            state.to_owned(),
            when,
            ago(delivery.received_at, now),
            delivery.attempts.to_string(),
            delivery.error.clone().unwrap_or_default(),
        ]);
    }
    terminal::print(table);
}

/// What was retried, for programs.
#[derive(Serialize)]
struct Retried {
    dry_run: bool,
    count: usize,
    deliveries: Vec<RetriedDelivery>,
}

#[derive(Serialize)]
struct RetriedDelivery {
    message: i64,
    order: i64,
}

/// A time that a database can take from its clock.
fn time(text: &str) -> Result<Duration, String> {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    Duration::within(text, &(Duration::ZERO..=100 * YEAR))
}

impl Again {
    async fn run(&self, undelivered: &Undelivered) -> anyhow::Result<()> {
        let retry = Retry { order: self.order, within: self.within, is_rehearsal: self.dry_run };
        let retried = undelivered.retry(retry).await?;
        if self.json {
            let deliveries =
                retried.iter().map(|dead| RetriedDelivery { message: dead.message, order: dead.order.get() });
            let shown = Retried { dry_run: self.dry_run, count: retried.len(), deliveries: deliveries.collect() };
            return Ok(terminal::print_json(&shown)?);
        }
        if retried.is_empty() {
            terminal::print(format_args!("No delivery{} was given up: there is nothing to retry.", self.scope()));
            return Ok(());
        }
        self.print(&retried);
        Ok(())
    }

    fn scope(&self) -> String {
        let within = self.within.map(|within| format!(" of the last {}", terminal::age(within.as_secs())));
        of_order(self.order) + &within.unwrap_or_default()
    }

    fn print(&self, retried: &[Dead]) {
        let mut orders: BTreeMap<OrderId, Vec<String>> = BTreeMap::new();
        for dead in retried {
            orders.entry(dead.order).or_default().push(dead.message.to_string());
        }
        let (deliveries, of_orders) =
            (count(retried.len(), "delivery", "deliveries"), count(orders.len(), "order", "orders"));
        let what = match (self.dry_run, retried.len()) {
            (true, 1) => "would be due again:",
            (true, _) => "would be due again, those of an order one after the other:",
            (false, 1) => "is due again:",
            (false, _) => "are due again, those of an order one after the other:",
        };
        terminal::print(format_args!("{deliveries} of {of_orders} {what}\n"));
        let mut table = Table::new(["order", "messages"], &["order"]);
        for (order, messages) in orders.iter().take(SHOWN_ORDERS) {
            table.row([order.to_string(), messages.join(", ")]);
        }
        terminal::print(table);
        let more = orders.len().saturating_sub(SHOWN_ORDERS);
        if more > 0 {
            terminal::print(format_args!("and {}; --json names all", count(more, "more order", "more orders")));
        }
    }
}
