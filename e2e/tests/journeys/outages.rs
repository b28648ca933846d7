//! Processes fail while shoppers buy things.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use e2e::World;
use futures::future::join_all;
use proto::{
    cart::{AddToCartRequest, ListCartRequest, PurchaseRequest},
    loms::{CancelOrderRequest, StocksRequest},
};
use serde_json::json;
use stack::{fleet::Service, testing::eventually};
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::buying::buy;

/// SKUs with more units than the tests need. A test that counts stock has a SKU of its own.
const COUNTED: u32 = 1304;
const PLENTY: u32 = 1704;

pub async fn a_checkout_killed_during_purchases_loses_none_and_doubles_none(world: &World) {
    let shoppers: Vec<_> = (0..60).map(|_| world.shopper()).collect();
    let checkout = world.checkout().unwrap();
    for &user in &shoppers {
        checkout.clone().add_to_cart(AddToCartRequest { user, sku: COUNTED, count: 2 }).await.unwrap();
    }
    let free_before = free(world).await;

    let replica = world.replica(Service::Checkout, &[]).await.unwrap();
    let killed_checkout = world.checkout_at(replica.port).unwrap();
    // Every other shopper has a key.
    let purchase = |user: i64| PurchaseRequest {
        user,
        idempotency_key: if user % 2 == 0 { format!("key-{user}") } else { String::new() },
    };
    let answered = AtomicUsize::new(0);
    let first_tries = join_all(shoppers.iter().map(|&user| {
        let (mut killed_checkout, answered) = (killed_checkout.clone(), &answered);
        async move {
            let answer = killed_checkout.purchase(purchase(user)).await;
            if answer.is_ok() {
                answered.fetch_add(1, Ordering::SeqCst);
            }
            (user, answer.ok().map(|answer| answer.into_inner().order_id))
        }
    }));
    let kill = async {
        eventually("some purchases were answered", || async { (answered.load(Ordering::SeqCst) >= 5).then_some(()) })
            .await;
        replica.kill();
    };
    let (first_tries, ()) = tokio::join!(first_tries, kill);

    assert!(first_tries.iter().any(|(_, first)| first.is_none()), "the kill cut off some purchases");
    let mut orders = HashMap::new();
    for (user, first) in first_tries {
        let retried = eventually("a retried purchase is answered", || async {
            match checkout.clone().purchase(purchase(user)).await {
                Ok(answer) => Some(Some(answer.into_inner().order_id)),
                // The first try made the order, but the process was killed before it could answer.
                Err(status) if reason(&status) == "CART_EMPTY" => Some(None),
                Err(_) => None,
            }
        })
        .await;
        let has_key = user % 2 == 0;
        assert!(retried.is_some() || !has_key, "a key answers the order again");
        let told = eventually("the order is told", || async { world.history(user).await.unwrap().pop() }).await;
        for answer in [first, retried].into_iter().flatten() {
            assert_eq!(answer, told.order_id, "user {user} has one order");
        }
        assert_eq!(orders.insert(told.order_id, user), None, "an order belongs to one user");
    }

    assert_eq!(free_before - free(world).await, 2 * shoppers.len() as u64, "each shopper has exactly one order");
    for (order, user) in orders {
        let cart = checkout.clone().list_cart(ListCartRequest { user }).await.unwrap().into_inner();
        assert!(cart.items.is_empty(), "the cart of user {user} is empty");
        let told = eventually("the order is told", || async {
            let messages = world.history(user).await.unwrap();
            (messages.len() >= 2).then_some(messages)
        })
        .await;
        assert!(told.iter().all(|message| message.order_id == order), "user {user} has one order: {told:?}");
    }
}

pub async fn messages_that_telegram_refuses_for_a_while_arrive_later_and_in_order(world: &World) {
    world.telegram_fault(json!({"status": 429, "retry_after": 1, "times": 3})).await.unwrap();
    let user = world.shopper();
    let order = buy(world, user, PLENTY).await;
    world.loms().unwrap().cancel_order(CancelOrderRequest { order_id: order }).await.unwrap();
    let told = eventually("the history has all statuses", || async {
        let messages = world.history(user).await.unwrap();
        (messages.len() == 3).then(|| messages.into_iter().map(|message| message.message).collect::<Vec<_>>())
    })
    .await;
    eventually("Telegram has them in the same order", || async {
        let received = world.told().await.unwrap();
        let ours: Vec<_> = received.into_iter().filter(|text| told.contains(text)).collect();
        (ours == told).then_some(())
    })
    .await;
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

async fn free(world: &World) -> u64 {
    let stocks = world.loms().unwrap().stocks(StocksRequest { sku: COUNTED }).await.unwrap().into_inner();
    stocks.stocks.iter().map(|stock| stock.count).sum()
}
