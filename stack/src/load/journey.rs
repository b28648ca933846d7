//! What a shopper does, from the first call to the last.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use clap::ValueEnum;
use proto::{
    cart::{AddToCartRequest, DeleteFromCartRequest, ListCartRequest, PurchaseRequest},
    loms::{CancelOrderRequest, CreateOrderRequest, ListOrdersRequest, OrderItem, OrderPayedRequest, StocksRequest},
};
use rand::{Rng as _, rngs::StdRng};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;

use super::{
    books::{Books, Bought, End, history_of},
    clients::Clients,
    record::{Recorder, Timed},
    shelf::Shelf,
};

/// The SKUs of a purchase.
const LINES: usize = 2;
/// A call that is not answered by then counts as DEADLINE_EXCEEDED.
const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Put something into the cart, list it, and take it out again.
    Browse,
    /// Put something into the cart.
    Add,
    /// Ask for the stock of a SKU.
    Stocks,
    /// Buy two SKUs and pay.
    Purchase,
    /// Buy, and never pay.
    Abandon,
    /// Buy, and cancel.
    Cancel,
    /// All of it: of 20 journeys, 8 ask for stock, 7 buy, 2 cancel, 1 each browses, abandons and looks back.
    Mixed,
    /// Everybody buys one unit of the same SKU and pays.
    Flash,
    /// Look back: list a shopper's orders, and read the messages about them.
    History,
    /// Have LOMS create an order of two SKUs, without a cart, and never pay.
    Order,
    /// Ask LOMS whether it is well: a call that does nothing.
    Health,
}

/// Clones share everything.
#[derive(Clone)]
pub(super) struct Shopper {
    pub clients: Clients,
    pub shelf: Arc<Shelf>,
    pub recorder: Arc<Recorder>,
    pub books: Arc<Books>,
    pub scenario: Scenario,
    /// Whether no journey is to begin any more.
    pub is_over: Arc<AtomicBool>,
}

impl Shopper {
    /// Goes on one journey, as a user whom nobody has seen before. It was due at `due`.
    pub async fn go(&self, random: &mut StdRng, due: Instant) {
        let scenario = if self.scenario == Scenario::Mixed { any(random) } else { self.scenario };
        let user = new_user();
        let walked = match scenario {
            Scenario::Browse => self.browse(user, random).await,
            Scenario::Add => self.add(user, self.shelf.choose(random), 1).await,
            Scenario::Stocks => self.stocks(user, random).await,
            Scenario::History => self.history(user).await,
            Scenario::Order => self.order(user, self.basket(random)).await,
            Scenario::Health => self.health(user).await,
            Scenario::Purchase | Scenario::Mixed => self.buy(user, self.basket(random), End::Paid).await,
            Scenario::Abandon => self.buy(user, self.basket(random), End::Open).await,
            Scenario::Cancel => self.buy(user, self.basket(random), End::Cancelled).await,
            Scenario::Flash => self.buy(user, BTreeMap::from([(self.shelf.first(), 1)]), End::Paid).await,
        };
        let code = walked.err().map_or(Code::Ok, |status| status.code());
        self.recorder.add(Timed::Journey, due.elapsed(), code);
        if code != Code::Ok {
            // A user whom the fleet turns away does not come back at once.
            tokio::time::sleep(Duration::from_millis(random.random_range(1..20))).await;
        }
    }

    fn basket(&self, random: &mut StdRng) -> BTreeMap<u32, u32> {
        let lines = LINES.min(self.shelf.len());
        let mut basket = BTreeMap::new();
        // A very uneven choice may name the same SKU again and again.
        for _ in 0..100 {
            basket.insert(self.shelf.choose(random), 1);
            if basket.len() == lines {
                break;
            }
        }
        basket
    }

    async fn stocks(&self, user: i64, random: &mut StdRng) -> Result<(), Status> {
        let (mut loms, sku) = (self.clients.loms(user), self.shelf.choose(random));
        self.timed(Timed::Stocks, async |deadline| loms.stocks(deadline.of(StocksRequest { sku })).await).await?;
        Ok(())
    }

    async fn history(&self, user: i64) -> Result<(), Status> {
        let user = self.books.a_user().unwrap_or(user);
        let (mut loms, mut notifications) = (self.clients.loms(user), self.clients.notifications(user));
        let list = ListOrdersRequest { user, ..Default::default() };
        self.timed(Timed::ListOrders, async |deadline| loms.list_orders(deadline.of(list)).await).await?;
        self.timed(Timed::History, async |deadline| {
            notifications.get_history_with_period(deadline.of(history_of(user))).await
        })
        .await?;
        Ok(())
    }

    async fn add(&self, user: i64, sku: u32, count: u32) -> Result<(), Status> {
        let (mut cart, add) = (self.clients.cart(user), AddToCartRequest { user, sku, count });
        self.timed(Timed::AddToCart, async |deadline| cart.add_to_cart(deadline.of(add)).await).await
    }

    async fn health(&self, user: i64) -> Result<(), Status> {
        let mut health = self.clients.health(user);
        let check = HealthCheckRequest::default();
        self.timed(Timed::Health, async |deadline| health.check(deadline.of(check)).await).await?;
        Ok(())
    }

    async fn order(&self, user: i64, basket: BTreeMap<u32, u32>) -> Result<(), Status> {
        let mut loms = self.clients.loms(user);
        let items = basket.iter().map(|(&sku, &count)| OrderItem { sku, count }).collect();
        let create = CreateOrderRequest { user, items, idempotency_key: String::new() };
        let created =
            self.timed(Timed::CreateOrder, async |deadline| loms.create_order(deadline.of(create)).await).await?;
        let order = Some(created.order_id);
        self.books.write(Bought { user, basket, order, end: End::Open, is_certain: true });
        Ok(())
    }

    async fn browse(&self, user: i64, random: &mut StdRng) -> Result<(), Status> {
        let (mut cart, sku) = (self.clients.cart(user), self.shelf.choose(random));
        self.add(user, sku, 1).await?;
        let list = ListCartRequest { user };
        self.timed(Timed::ListCart, async |deadline| cart.list_cart(deadline.of(list)).await).await?;
        let delete = DeleteFromCartRequest { user, sku, count: 1 };
        self.timed(Timed::DeleteFromCart, async |deadline| cart.delete_from_cart(deadline.of(delete)).await).await?;
        Ok(())
    }

    async fn buy(&self, user: i64, basket: BTreeMap<u32, u32>, end: End) -> Result<(), Status> {
        let (mut cart, mut loms) = (self.clients.cart(user), self.clients.loms(user));
        for (&sku, &count) in &basket {
            self.add(user, sku, count).await?;
        }
        let purchase = PurchaseRequest { user, idempotency_key: "load".into() };
        let bought = self
            .timed(Timed::Purchase, async |deadline| cart.purchase(deadline.of(purchase.clone())).await)
            .await
            .map(|answer| answer.order_id);
        let mut entry = Bought { user, basket, order: bought.as_ref().ok().copied(), end: End::Open, is_certain: true };
        let order_id = match bought {
            Ok(order_id) => order_id,
            Err(status) => {
                // Whoever was refused has no order. Whoever heard nothing else may have one.
                if status.code() != Code::FailedPrecondition {
                    self.books.write(entry);
                }
                return Err(status);
            }
        };
        let ended = match end {
            End::Open => Ok(()),
            End::Paid => {
                let pay = OrderPayedRequest { order_id };
                self.timed(Timed::OrderPayed, async |deadline| loms.order_payed(deadline.of(pay)).await).await
            }
            End::Cancelled => {
                let cancel = CancelOrderRequest { order_id };
                self.timed(Timed::CancelOrder, async |deadline| loms.cancel_order(deadline.of(cancel)).await).await
            }
        };
        entry.end = end;
        entry.is_certain = ended.is_ok();
        self.books.write(entry);
        ended
    }

    async fn timed<T>(
        &self,
        timed: Timed,
        call: impl AsyncFnOnce(Deadline) -> Result<Response<T>, Status>,
    ) -> Result<T, Status> {
        let began_at = Instant::now();
        let answer = call(Deadline).await;
        let code = answer.as_ref().err().map_or(Code::Ok, Status::code);
        self.recorder.add(timed, began_at.elapsed(), code);
        answer.map(Response::into_inner)
    }
}

/// One of those that [`Scenario::Mixed`] is made of.
fn any(random: &mut StdRng) -> Scenario {
    match random.random_range(0..20) {
        0..8 => Scenario::Stocks,
        8..15 => Scenario::Purchase,
        15..17 => Scenario::Cancel,
        17 => Scenario::Browse,
        18 => Scenario::Abandon,
        _ => Scenario::History,
    }
}

/// Gives requests the time that they have.
struct Deadline;

impl Deadline {
    fn of<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(DEADLINE);
        request
    }
}

/// Numbers from the clock, so that each run has new users.
fn new_user() -> i64 {
    static NEXT: LazyLock<AtomicI64> = LazyLock::new(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        AtomicI64::new(i64::try_from(now.as_micros()).unwrap_or(1))
    });
    NEXT.fetch_add(1, Ordering::Relaxed)
}
