//! What shoppers were told, and whether the fleet's books agree with it afterwards.
//!
//! The books are looked at from outside, as any client could: orders, free stock and messages. Nobody else may buy
//! meanwhile.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use chrono::{Datelike as _, TimeDelta, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use proto::{
    cart::PurchaseRequest,
    loms::{ListOrderRequest, ListOrderResponse},
    notifications::{Date, GetHistoryWithPeriodRequest},
};
use tonic::{Code, Status};

use super::{clients::Clients, shelf::free_units};

/// Calls that check the books at once.
const AT_ONCE: usize = 32;
/// How long the last messages may take, and purchases in doubt.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);
/// How long one call may take.
const ANSWER: Duration = Duration::from_secs(5);

/// How a shopper left an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Open,
    Paid,
    Cancelled,
}

/// A purchase that may have made an order.
#[derive(Debug, Clone)]
pub struct Bought {
    pub user: i64,
    /// SKUs and counts.
    pub basket: BTreeMap<u32, u32>,
    /// `None` if the call was not answered.
    pub order: Option<i64>,
    pub end: End,
    /// Whether the call that ended it was answered.
    pub is_certain: bool,
}

/// Something that the books say and that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Of an order.
    Order { order: i64, what: String },
    /// Of the stock of a SKU.
    Stock { sku: u32, what: String },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order { order, what } => write!(f, "order {order}: {what}"),
            Self::Stock { sku, what } => write!(f, "SKU {sku}: {what}"),
        }
    }
}

#[derive(Debug)]
pub struct Books {
    /// Free units by SKU before the load.
    before: BTreeMap<u32, u64>,
    bought: Mutex<Vec<Bought>>,
}

/// What was checked, and what was found.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    pub orders: usize,
    pub paid: usize,
    pub messages: usize,
    pub faults: Vec<Fault>,
}

impl Books {
    pub fn new(before: BTreeMap<u32, u64>) -> Self {
        Self { before, bought: Mutex::default() }
    }

    pub fn write(&self, bought: Bought) {
        self.bought().push(bought);
    }

    /// The user of one of the purchases so far.
    pub fn a_user(&self) -> Option<i64> {
        let bought = self.bought();
        bought.get(bought.len() / 2).map(|bought| bought.user)
    }

    fn bought(&self) -> MutexGuard<'_, Vec<Bought>> {
        self.bought.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings purchases in doubt to their end, and then checks everything.
    pub async fn check(&self, clients: &Clients) -> anyhow::Result<Checked> {
        let bought = self.bought().clone();
        let settled = each(bought, |bought| settle(clients, bought)).await?;
        let bought: Vec<(i64, Bought)> =
            settled.into_iter().filter_map(|bought| bought.order.map(|order| (order, bought))).collect();
        let (orders, free) = self.still(clients, &bought).await?;
        let mut checked = Checked { orders: bought.len(), ..Checked::default() };
        let mut held: BTreeMap<u32, u64> = BTreeMap::new();
        for ((order, bought), found) in std::iter::zip(&bought, &orders) {
            let wrong = wrong_order(bought, found);
            checked.faults.extend(wrong.map(|what| Fault::Order { order: *order, what }));
            checked.paid += usize::from(found.status == "paid");
            if ["awaiting payment", "paid"].contains(&found.status.as_str()) {
                for item in &found.items {
                    *held.entry(item.sku).or_default() += u64::from(item.count);
                }
            }
        }
        for (&sku, &before) in &self.before {
            let (after, held) =
                (free.get(&sku).copied().unwrap_or_default(), held.get(&sku).copied().unwrap_or_default());
            if after + held != before {
                let mut what = format!("{before} were free before; {after} are now, and orders have {held}");
                if after + held > before {
                    what.push_str(" (or did somebody else's orders end meanwhile?)");
                }
                checked.faults.push(Fault::Stock { sku, what });
            }
        }
        let ends = std::iter::zip(bought, orders).map(|((order, bought), found)| (order, bought.user, found.status));
        let heard = each(ends.collect(), |(order, user, status)| async move {
            told(clients, user, order, &status).await.map(|told| (order, told))
        });
        for (order, told) in heard.await? {
            match told {
                Ok(messages) => checked.messages += messages,
                Err(what) => checked.faults.push(Fault::Order { order, what }),
            }
        }
        Ok(checked)
    }

    /// Orders and free stock of one moment, in which no order changes: some may expire.
    async fn still(
        &self,
        clients: &Clients,
        bought: &[(i64, Bought)],
    ) -> anyhow::Result<(Vec<ListOrderResponse>, BTreeMap<u32, u64>)> {
        let began_at = Instant::now();
        let orders = || each(bought.iter().map(|(order, _)| *order).collect(), |order| list_order(clients, order));
        let mut before = orders().await?;
        while began_at.elapsed() < PATIENCE {
            let skus = self.before.keys().copied().collect();
            let free = each(skus, |sku| async move { anyhow::Ok((sku, free_units(clients, sku).await?)) }).await?;
            let after = orders().await?;
            if before == after {
                return Ok((after, free.into_iter().collect()));
            }
            before = after;
        }
        bail!("orders go on changing; the books cannot be checked")
    }
}

/// Does something for each, in their order, many at once.
async fn each<T, R, F>(items: Vec<T>, work: impl Fn(T) -> F) -> anyhow::Result<Vec<R>>
where
    F: Future<Output = anyhow::Result<R>>,
{
    stream::iter(items).map(work).buffered(AT_ONCE).try_collect().await
}

/// Repeats a purchase that was not answered, until it is.
async fn settle(clients: &Clients, mut bought: Bought) -> anyhow::Result<Bought> {
    if bought.order.is_some() {
        return Ok(bought);
    }
    let began_at = Instant::now();
    loop {
        let request = PurchaseRequest { user: bought.user, idempotency_key: "load".into() };
        match clients.cart(bought.user).purchase(request).await {
            Ok(answer) => {
                bought.order = Some(answer.into_inner().order_id);
                return Ok(bought);
            }
            Err(status) if status.code() == Code::FailedPrecondition => return Ok(bought),
            Err(status) if began_at.elapsed() > PATIENCE => {
                return Err(status).with_context(|| format!("the purchase of user {} comes to no end", bought.user));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn list_order(clients: &Clients, order_id: i64) -> anyhow::Result<ListOrderResponse> {
    let found = patiently(async || clients.loms(order_id).list_order(ListOrderRequest { order_id }).await).await;
    Ok(found.with_context(|| format!("order {order_id} was acknowledged and cannot be shown"))?.into_inner())
}

/// Repeats a call that reads, while the fleet is unavailable or does not answer.
async fn patiently<T>(call: impl AsyncFn() -> Result<T, Status>) -> Result<T, Status> {
    let began_at = Instant::now();
    loop {
        let answer = tokio::time::timeout(ANSWER, call()).await;
        match answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time"))) {
            Err(status) if is_passing(&status) && began_at.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
            answer => return answer,
        }
    }
}

fn is_passing(status: &Status) -> bool {
    [Code::Unavailable, Code::ResourceExhausted, Code::DeadlineExceeded].contains(&status.code())
}

/// What is wrong with an order; `None` if it is as its shopper left it.
fn wrong_order(bought: &Bought, found: &ListOrderResponse) -> Option<String> {
    if found.user != bought.user {
        return Some(format!("it is of user {}, and user {} bought it", found.user, bought.user));
    }
    let items: BTreeMap<u32, u32> = found.items.iter().map(|item| (item.sku, item.count)).collect();
    if items != bought.basket || items.len() != found.items.len() {
        return Some(format!("it has {items:?}, and {:?} was bought", bought.basket));
    }
    let possible: &[&str] = match (bought.end, bought.is_certain) {
        (End::Paid, true) => &["paid"],
        (End::Cancelled, true) => &["cancelled"],
        (End::Paid, false) => &["paid", "awaiting payment", "cancelled"],
        // Nobody pays it, so it may have expired.
        (End::Open, _) | (End::Cancelled, false) => &["awaiting payment", "cancelled"],
    };
    (!possible.contains(&found.status.as_str()))
        .then(|| format!("it is {}, and should be {}", found.status, possible.join(" or ")))
}

/// Waits until a user was told everything about an order. Answers how many messages that were, or what is wrong.
async fn told(clients: &Clients, user: i64, order: i64, status: &str) -> anyhow::Result<Result<usize, String>> {
    let mut expected = vec!["new", "awaiting payment"];
    if status != "awaiting payment" {
        expected.push(status);
    }
    let began_at = Instant::now();
    loop {
        let read = async || clients.notifications(user).get_history_with_period(history_of(user)).await;
        let messages = patiently(read).await.context("cannot read the messages")?.into_inner().messages;
        let told: Vec<_> = messages.iter().filter(|message| message.order_id == order).collect();
        let told: Vec<&str> = told.iter().map(|message| message.status.as_str()).collect();
        if told == expected {
            return Ok(Ok(told.len()));
        }
        let is_on_its_way = expected.starts_with(&told);
        if !is_on_its_way || began_at.elapsed() > PATIENCE {
            return Ok(Err(format!("user {user} was told {told:?}, and should be told {expected:?}")));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// All messages of a user since yesterday.
pub fn history_of(user: i64) -> GetHistoryWithPeriodRequest {
    let day = |days| {
        let date = Utc::now().date_naive() + TimeDelta::days(days);
        Some(Date { year: date.year(), month: date.month().cast_signed(), day: date.day().cast_signed() })
    };
    GetHistoryWithPeriodRequest { user, from: day(-1), to: day(1), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use proto::loms::OrderItem;

    use super::*;

    fn bought(end: End, is_certain: bool) -> Bought {
        Bought { user: 7, basket: BTreeMap::from([(1, 2), (3, 4)]), order: Some(5), end, is_certain }
    }

    fn found(status: &str, items: &[(u32, u32)]) -> ListOrderResponse {
        let items = items.iter().map(|&(sku, count)| OrderItem { sku, count }).collect();
        ListOrderResponse { status: status.into(), user: 7, items, ..Default::default() }
    }

    #[test]
    fn an_order_must_be_as_its_shopper_left_it() {
        let items = [(1, 2), (3, 4)];
        assert_eq!(wrong_order(&bought(End::Paid, true), &found("paid", &items)), None);
        assert_eq!(wrong_order(&bought(End::Open, true), &found("cancelled", &items)), None);
        for (end, is_certain, status, items) in [
            (End::Paid, true, "awaiting payment", &items[..]),
            (End::Cancelled, true, "paid", &items),
            (End::Cancelled, false, "paid", &items),
            (End::Paid, true, "paid", &items[..1]),
            (End::Paid, true, "paid", &[(1, 2), (3, 5)]),
            (End::Paid, true, "paid", &[(1, 2), (3, 4), (3, 4)]),
        ] {
            let wrong = wrong_order(&bought(end, is_certain), &found(status, items));
            assert!(wrong.is_some(), "{end:?} {is_certain} {status} {items:?}");
        }
        let strangers = Bought { user: 8, ..bought(End::Paid, true) };
        assert!(wrong_order(&strangers, &found("paid", &items)).is_some());
    }
}
