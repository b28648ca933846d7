//! Makes load of every kind: shoppers, payments, refusals, unreadable events, and failures of Telegram and of LOMS.

use e2e::World;
use proto::{
    cart::{AddToCartRequest, DeleteFromCartRequest, ListCartRequest, PurchaseRequest},
    loms::{CancelOrderRequest, CreateOrderRequest, ListOrderRequest, OrderItem, OrderPayedRequest, StocksRequest},
    notifications::GetHistoryWithPeriodRequest,
};
use rdkafka::{
    ClientConfig,
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};
use serde_json::json;
use stack::{fleet::Service, testing::eventually};
use tonic::{Code, Status};

/// A SKU with more units than the test needs.
const PLENTY: u32 = 1212;
/// A SKU with one unit.
const LAST: u32 = 1605;

/// Every kind of load happens once. A call that fails must fail in the expected way.
pub async fn make(fleet: &World) {
    let unpaid = orders(fleet).await;
    refusals(fleet).await;
    a_dead_letter(fleet).await;
    let doubtful = a_purchase_in_doubt(fleet).await;
    telegram(fleet).await;
    eventually("the unpaid order expires", || status_is(fleet, unpaid, "cancelled")).await;
    let late = fleet.loms().unwrap().order_payed(OrderPayedRequest { order_id: unpaid }).await.unwrap_err();
    assert_eq!(late.code(), Code::FailedPrecondition);
    eventually("the purchase in doubt is finished", || async {
        (!fleet.history(doubtful).await.unwrap().is_empty()).then_some(())
    })
    .await;
}

/// Pays one order and cancels another. Returns a third one, which nobody pays.
async fn orders(fleet: &World) -> i64 {
    let mut loms = fleet.loms().unwrap();
    let [paid, cancelled, unpaid] =
        [buy(fleet, PLENTY).await, buy(fleet, PLENTY).await, buy(fleet, PLENTY).await].map(Result::unwrap);
    loms.order_payed(OrderPayedRequest { order_id: paid }).await.unwrap();
    loms.cancel_order(CancelOrderRequest { order_id: cancelled }).await.unwrap();
    loms.stocks(StocksRequest { sku: PLENTY }).await.unwrap();
    unpaid
}

/// Makes calls that the services refuse.
async fn refusals(fleet: &World) {
    let (mut checkout, mut loms) = (fleet.checkout().unwrap(), fleet.loms().unwrap());
    // Both users want the last unit.
    let rivals = [fleet.shopper(), fleet.shopper()];
    for user in rivals {
        checkout.add_to_cart(AddToCartRequest { user, sku: LAST, count: 1 }).await.unwrap();
    }
    purchase(fleet, rivals[0]).await.unwrap();
    assert_eq!(purchase(fleet, rivals[1]).await.unwrap_err().code(), Code::FailedPrecondition);
    let nothing = purchase(fleet, fleet.shopper()).await.unwrap_err();
    assert_eq!(nothing.code(), Code::FailedPrecondition, "there is nothing in the cart");

    let items = vec![OrderItem { sku: LAST, count: 100 }];
    let short = CreateOrderRequest { user: fleet.shopper(), items, ..Default::default() };
    assert_eq!(loms.create_order(short).await.unwrap_err().code(), Code::FailedPrecondition);
    let unknown = loms.list_order(ListOrderRequest { order_id: i64::MAX }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let bad = checkout.list_cart(ListCartRequest { user: 0 }).await.unwrap_err();
    assert_eq!(bad.code(), Code::InvalidArgument);
    let history = GetHistoryWithPeriodRequest { user: fleet.shopper(), ..Default::default() };
    let bad = fleet.notifications().unwrap().get_history_with_period(history).await.unwrap_err();
    assert_eq!(bad.code(), Code::InvalidArgument, "from when until when?");
}

/// Sends an event that nobody can read.
async fn a_dead_letter(fleet: &World) {
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", &fleet.addresses.kafka).create().unwrap();
    let record = FutureRecord::to("orders").key("0").payload("no event");
    producer.send(record, Timeout::Never).await.unwrap();
}

/// Buys something from a checkout that cannot reach LOMS and is then killed. Returns the user.
async fn a_purchase_in_doubt(fleet: &World) -> i64 {
    let nowhere = format!("https://localhost:{}", stack::ports::free().unwrap());
    let lost = fleet.replica(Service::Checkout, &[("services", "loms", &nowhere)]).await.unwrap();
    let user = fleet.shopper();
    fleet.checkout().unwrap().add_to_cart(AddToCartRequest { user, sku: PLENTY, count: 1 }).await.unwrap();
    let mut checkout = fleet.checkout_at(lost.port).unwrap();
    let doubt = checkout.purchase(PurchaseRequest { user, ..Default::default() }).await.unwrap_err();
    assert_eq!(doubt.code(), Code::Unavailable);
    lost.kill();
    user
}

/// Makes Telegram fail, ask for a pause, and refuse a message for good.
async fn telegram(fleet: &World) {
    for fault in [json!({"status": 500}), json!({"status": 429, "retry_after": 1}), json!({"status": 400})] {
        fleet.telegram_fault(fault).await.unwrap();
    }
    let order = buy(fleet, PLENTY).await.unwrap();
    fleet.loms().unwrap().order_payed(OrderPayedRequest { order_id: order }).await.unwrap();
}

/// Adds two units to a cart, removes one, lists the cart twice, and buys it.
async fn buy(fleet: &World, sku: u32) -> Result<i64, Status> {
    let (mut checkout, user) = (fleet.checkout().unwrap(), fleet.shopper());
    checkout.add_to_cart(AddToCartRequest { user, sku, count: 2 }).await?;
    checkout.delete_from_cart(DeleteFromCartRequest { user, sku, count: 1 }).await?;
    for _ in 0..2 {
        checkout.list_cart(ListCartRequest { user }).await?;
    }
    purchase(fleet, user).await
}

async fn purchase(fleet: &World, user: i64) -> Result<i64, Status> {
    let request = PurchaseRequest { user, idempotency_key: String::new() };
    Ok(fleet.checkout().unwrap().purchase(request).await?.into_inner().order_id)
}

async fn status_is(fleet: &World, order_id: i64, status: &str) -> Option<()> {
    let order = fleet.loms().unwrap().list_order(ListOrderRequest { order_id }).await.unwrap().into_inner();
    (order.status == status).then_some(())
}
