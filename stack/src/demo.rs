//! `stack demo`: tells a shopper's journey through the running fleet. The first failed check ends the story.

use std::{
    future::Future,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail, ensure};
use chrono::{Datelike as _, Utc};
use proto::notifications::{Date, GetHistoryWithPeriodRequest};

mod calls;
mod lookup;
mod narrator;
mod words;

use calls::{Calls, free};
use narrator::{chapter, say};

use crate::{
    doors::Door,
    fleet::{Addresses, Replica, Service},
    telegram::Message,
    terminal::{self, GOOD},
};

/// What Anna buys: SKU and count.
const BOARDS: (u32, u32) = (1003, 2);
const PAN: (u32, u32) = (1001, 1);
/// For the second LOMS, so that the reader does not wait ten minutes for an order to expire.
const SHORT_PAYMENT_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest wait for something that happens in the background.
const PATIENCE: Duration = Duration::from_secs(30);

/// What becomes of the fleet when the story is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Afterwards {
    Stays,
    Ends,
}

/// All calls of services go by one door.
pub async fn tell(fleet: &Addresses, door: Door, afterwards: Afterwards) -> anyhow::Result<()> {
    let mut story = Story::begin(fleet, door, afterwards)?;
    story.browse().await?;
    story.fill_the_cart().await?;
    let order = story.purchase().await?;
    story.pay(order).await?;
    story.cancel_by_hand().await?;
    story.leave_unpaid().await?;
    story.run_out_of_stock(order).await?;
    terminal::print(format_args!("\n{GOOD}That is all: everything happened as it should.{GOOD:#}"));
    terminal::print(format_args!("\n{}", lookup::instructions(&story.purchase_trace, fleet)));
    Ok(())
}

struct Story<'a> {
    fleet: &'a Addresses,
    door: Door,
    calls: Calls,
    /// User ids made from the clock, so that each run has new users.
    anna: i64,
    boris: i64,
    /// The trace id of Anna's purchase.
    purchase_trace: String,
}

impl<'a> Story<'a> {
    fn begin(fleet: &'a Addresses, door: Door, afterwards: Afterwards) -> anyhow::Result<Self> {
        let calls = Calls::new(fleet, door)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
        let anna = i64::try_from(now.as_millis())?;
        terminal::print(format_args!("Anna is user {anna}, Boris is user {}.", anna + 1));
        let tool = match door {
            Door::Grpc => "grpcurl",
            Door::Json => "curl",
        };
        match afterwards {
            Afterwards::Stays => terminal::print(format_args!("Every call below can be repeated with {tool}.")),
            Afterwards::Ends => terminal::print(format_args!(
                "This fleet ends with the story. To repeat a call below with {tool}, tell the story beside `make run`."
            )),
        }
        if door == Door::Json {
            terminal::print("ProductService speaks gRPC alone.");
        }
        Ok(Self { fleet, door, calls, anna, boris: anna + 1, purchase_trace: String::new() })
    }

    async fn browse(&mut self) -> anyhow::Result<()> {
        chapter("1. Anna browses");
        say("What does the shop sell?");
        let skus = self.calls.list_skus(5).await?.skus;
        ensure!(!skus.is_empty(), "the catalogue is empty");
        say("Two things catch her eye.");
        for sku in [PAN.0, BOARDS.0] {
            self.calls.product(sku).await?;
        }
        say("Are they in stock?");
        for (sku, count) in [PAN, BOARDS] {
            let stocks = self.calls.stocks(sku).await?;
            ensure!(free(&stocks) >= u64::from(count), "SKU {sku} is out of stock; `make clean` starts afresh");
        }
        Ok(())
    }

    async fn fill_the_cart(&mut self) -> anyhow::Result<()> {
        chapter("2. She fills her cart");
        self.calls.add_to_cart(self.anna, PAN.0, PAN.1).await?.answered()?;
        self.calls.add_to_cart(self.anna, BOARDS.0, BOARDS.1 + 1).await?.answered()?;
        say("One too many; she puts it back.");
        self.calls.delete_from_cart(self.anna, BOARDS.0, 1).await?;
        say("Names and prices come from ProductService.");
        let cart = self.calls.list_cart(self.anna).await?;
        let lines: Vec<_> = cart.items.iter().map(|item| (item.sku, item.count)).collect();
        ensure!(lines == [PAN, BOARDS], "the cart holds {lines:?}");
        let total: u64 = cart.items.iter().map(|item| u64::from(item.price) * u64::from(item.count)).sum();
        ensure!(cart.total_price == total, "the total is {}, not {total}", cart.total_price);
        Ok(())
    }

    async fn purchase(&mut self) -> anyhow::Result<i64> {
        chapter("3. She buys it");
        let before = self.calls.stocks(BOARDS.0).await?;
        let key = format!("demo-{}", self.anna);
        let order = self.calls.purchase(self.anna, &key).await?.answered()?.order_id;
        self.purchase_trace.clone_from(&self.calls.trace_id);
        ensure!(!self.purchase_trace.is_empty(), "the answer does not name its trace");
        say("Her connection breaks and she clicks again: the same key answers the same order.");
        let again = self.calls.purchase(self.anna, &key).await?.answered()?.order_id;
        ensure!(again == order, "the second click made order {again}");
        say("The cart is empty, and her units are reserved: nobody else can buy them.");
        let cart = self.calls.list_cart(self.anna).await?;
        ensure!(cart.items.is_empty(), "the cart still holds something");
        let after = self.calls.stocks(BOARDS.0).await?;
        ensure!(free(&before) - free(&after) == u64::from(BOARDS.1), "the stock does not show the reservation");
        let status = self.calls.list_order(order).await?.status;
        ensure!(status == "awaiting payment", "the order is `{status}`");
        Ok(order)
    }

    async fn pay(&mut self, order: i64) -> anyhow::Result<()> {
        chapter("4. She pays");
        self.calls.pay(order).await?.answered()?;
        let status = self.calls.list_order(order).await?.status;
        ensure!(status == "paid", "the order is `{status}`");
        say("LOMS told Kafka, notifications read it and told Telegram. On Anna's phone:");
        let texts = eventually("three messages about the order arrive", || async {
            let messages: Vec<Message> =
                reqwest::get(format!("http://{}/messages", self.fleet.telegram)).await?.json().await?;
            let texts = messages.iter().flat_map(Message::texts);
            let about = texts.filter(|text| text.starts_with(&format!("Order {order} ")));
            let about: Vec<_> = about.map(str::to_owned).collect();
            Ok((about.len() >= 3).then_some(about))
        })
        .await?;
        for text in texts {
            narrator::answer(format!("✉ {text}"));
        }
        say("They are in her history too.");
        let today = Utc::now().date_naive();
        let date = Some(Date { year: today.year(), month: today.month() as i32, day: today.day() as i32 });
        let request = GetHistoryWithPeriodRequest { user: self.anna, from: date, to: date, ..Default::default() };
        let history = self.calls.history(request).await?;
        let statuses: Vec<_> = history.messages.iter().map(|message| message.status.as_str()).collect();
        ensure!(statuses == ["new", "awaiting payment", "paid"], "the history tells of {statuses:?}");
        Ok(())
    }

    async fn cancel_by_hand(&mut self) -> anyhow::Result<()> {
        chapter("5. Boris changes his mind");
        let before = self.calls.stocks(BOARDS.0).await?;
        self.calls.add_to_cart(self.boris, BOARDS.0, 1).await?.answered()?;
        let order = self.calls.purchase(self.boris, "").await?.answered()?.order_id;
        self.calls.cancel(order).await?;
        let status = self.calls.list_order(order).await?.status;
        ensure!(status == "cancelled", "the order is `{status}`");
        say("What was reserved for him is free again.");
        let after = self.calls.stocks(BOARDS.0).await?;
        ensure!(free(&before) == free(&after), "the stock is not what it was");
        say("A cancelled order cannot be paid.");
        self.calls.pay(order).await?.refused_with("ORDER_NOT_PAYABLE")
    }

    async fn leave_unpaid(&mut self) -> anyhow::Result<()> {
        chapter("6. Boris forgets to pay");
        say(format!(
            "LOMS gives an order {}. To see it sooner, a second LOMS joins the fleet for a moment; its orders have {}.",
            humantime::format_duration(self.fleet.payment_timeout),
            humantime::format_duration(SHORT_PAYMENT_TIMEOUT)
        ));
        let timeout = format!("{}s", SHORT_PAYMENT_TIMEOUT.as_secs());
        let replica = Replica::start(Service::Loms, self.fleet, &[("orders", "payment_timeout", &timeout)])?;
        eventually("the second LOMS is ready", || async { Ok(replica.is_ready().await.then_some(())) }).await?;
        let before = self.calls.stocks(BOARDS.0).await?;
        let mut at_replica = self.calls.with(&replica, self.fleet, self.door)?;
        let order = at_replica.create_order(self.boris, BOARDS.0, 3).await?.answered()?.order_id;
        let reserved = self.calls.stocks(BOARDS.0).await?;
        ensure!(free(&before) - free(&reserved) == 3, "the stock does not show the reservation");
        say("The second LOMS leaves again, with the order unpaid. The one that stays keeps the deadline.");
        replica.stop().await;
        let calls = &self.calls;
        eventually("the unpaid order is cancelled", || async {
            Ok((calls.status_of(order).await? == "cancelled").then_some(()))
        })
        .await?;
        self.calls.list_order(order).await?;
        let after = self.calls.stocks(BOARDS.0).await?;
        ensure!(free(&before) == free(&after), "the stock is not what it was");
        Ok(())
    }

    /// Anna's order so far is `first`.
    async fn run_out_of_stock(&mut self, first: i64) -> anyhow::Result<()> {
        chapter("7. Two shoppers, one last unit");
        let sku = PAN.0;
        let left = free(&self.calls.stocks(sku).await?);
        let rest = u32::try_from(left).context("more units than an order can hold")?;
        ensure!(rest > 0, "SKU {sku} is out of stock; `make clean` starts afresh");
        say("Anna puts one more pan into her cart. While she hesitates, Boris orders all that are left.");
        self.calls.add_to_cart(self.anna, sku, 1).await?.answered()?;
        let order = self.calls.create_order(self.boris, sku, rest).await?.answered()?.order_id;
        say("Her purchase is refused, as a whole, and her cart is as it was.");
        self.calls.purchase(self.anna, "").await?.refused_with("INSUFFICIENT_STOCK")?;
        let cart = self.calls.list_cart(self.anna).await?;
        ensure!(cart.items.len() == 1 && cart.items[0].count == 1, "the cart is not as it was");
        say("Boris cancels, and she gets her pan after all.");
        self.calls.cancel(order).await?;
        let order = self.calls.purchase(self.anna, "").await?.answered()?.order_id;
        self.calls.pay(order).await?.answered()?;
        say("All her orders, the newest first. The one that failed is there too.");
        let orders = self.calls.list_orders(self.anna).await?.orders;
        let listed: Vec<_> = orders.iter().map(|order| order.status.as_str()).collect();
        ensure!(listed == ["paid", "failed", "paid"], "her orders are {listed:?}");
        ensure!(orders[0].order_id == order && orders[2].order_id == first, "her orders are not in their order");
        Ok(())
    }
}

/// Waits until the condition returns a value. The error says `what` was expected.
async fn eventually<T, F>(what: &str, mut condition: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let value = async {
        loop {
            if let Some(value) = condition().await? {
                return anyhow::Ok(value);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, value).await {
        Ok(value) => value,
        Err(_) => bail!("waited {} seconds in vain until {what}", PATIENCE.as_secs()),
    }
}
