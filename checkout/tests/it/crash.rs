//! Checkout killed at the worst moment: LOMS has created the order, and nobody has written that down.

use std::collections::BTreeMap;

use tonic::Code;

use crate::{
    loms_stand_in::Fault,
    world::{Checkout, World, assert_refused},
};

/// Fills the cart of user 1, purchases it, and kills the checkout when the order exists.
async fn killed_after_the_order(world: &World, key: &'static str) {
    let checkout = world.checkout().await;
    let client = checkout.client();
    client.add(1, 1001, 2).await.unwrap();
    client.add(1, 1002, 3).await.unwrap();
    world.loms.then(Fault::DoThenHang);
    let purchase = tokio::spawn(async move { client.purchase(1, key).await });
    world.loms.ordered(1).await;
    checkout.kill();
    purchase.await.unwrap().unwrap_err();
    assert_eq!(world.purchases(1).await, ["pending"]);
}

/// What must hold in the end, whoever finished the purchase.
async fn assert_one_order(world: &World, order: i64) {
    let orders = world.loms.orders();
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].id, order);
    assert_eq!(orders[0].items, [(1001, 2), (1002, 3)].into());
    assert_eq!(world.cart(1).await, BTreeMap::new());
    assert_eq!(world.purchases(1).await, ["ordered"]);
}

async fn restarted(world: &World) -> Checkout {
    world.checkout().await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_order_and_settlement_a_retry_with_its_key_gets_that_order() {
    let world = World::new().await;
    killed_after_the_order(&world, "key").await;
    let checkout = restarted(&world).await;
    let order = checkout.client().purchase(1, "key").await.unwrap();
    assert_one_order(&world, order).await;
    assert_eq!(checkout.client().purchase(1, "key").await.unwrap(), order);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_order_and_settlement_a_retry_without_a_key_gets_that_order() {
    let world = World::new().await;
    killed_after_the_order(&world, "").await;
    let checkout = restarted(&world).await;
    let order = checkout.client().purchase(1, "").await.unwrap();
    assert_one_order(&world, order).await;
    let refusal = checkout.client().purchase(1, "").await.unwrap_err();
    assert_refused(&refusal, Code::FailedPrecondition, "CART_EMPTY", &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_in_the_background_a_retry_with_its_key_gets_that_order() {
    let world = World::new().await;
    killed_after_the_order(&world, "key").await;
    let checkout = finished_in_the_background(&world).await;
    let order = checkout.client().purchase(1, "key").await.unwrap();
    assert_one_order(&world, order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_in_the_background_a_retry_without_a_key_gets_that_order_once() {
    let world = World::new().await;
    killed_after_the_order(&world, "").await;
    let checkout = finished_in_the_background(&world).await;
    let order = checkout.client().purchase(1, "").await.unwrap();
    assert_one_order(&world, order).await;
    let refusal = checkout.client().purchase(1, "").await.unwrap_err();
    assert_refused(&refusal, Code::FailedPrecondition, "CART_EMPTY", &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_in_the_background_long_ago_an_order_is_not_told_any_more() {
    let world = World::new().await;
    killed_after_the_order(&world, "").await;
    let checkout = finished_in_the_background(&world).await;
    let age = "UPDATE purchase SET settled_at = settled_at - interval '10 minutes'";
    sqlx::query(age).execute(&world.database.pool).await.unwrap();
    let refusal = checkout.client().purchase(1, "").await.unwrap_err();
    assert_refused(&refusal, Code::FailedPrecondition, "CART_EMPTY", &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_in_the_background_a_filled_cart_is_a_purchase_of_its_own() {
    let world = World::new().await;
    killed_after_the_order(&world, "").await;
    let checkout = finished_in_the_background(&world).await;
    let client = checkout.client();
    client.add(1, 1003, 1).await.unwrap();
    let order = client.purchase(1, "").await.unwrap();
    let orders = world.loms.orders();
    assert_eq!((orders.len(), orders[1].id), (2, order));
    assert_eq!(orders[1].items, [(1003, 1)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_a_key_is_never_told_to_a_call_without_one() {
    let world = World::new().await;
    killed_after_the_order(&world, "key").await;
    let checkout = finished_in_the_background(&world).await;
    let refusal = checkout.client().purchase(1, "").await.unwrap_err();
    assert_refused(&refusal, Code::FailedPrecondition, "CART_EMPTY", &[]);
}

/// The purchase was made long ago, so a restarted checkout takes it up.
async fn finished_in_the_background(world: &World) -> Checkout {
    sqlx::query("UPDATE purchase SET resume_at = now()").execute(&world.database.pool).await.unwrap();
    let checkout = world.resuming_checkout().await;
    world.all_settled().await;
    checkout
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_with_another_key_finishes_the_purchase_in_doubt_and_then_makes_its_own() {
    let world = World::new().await;
    killed_after_the_order(&world, "").await;
    let checkout = restarted(&world).await;
    let client = checkout.client();
    client.add(1, 1003, 1).await.unwrap();
    let own = client.purchase(1, "key").await.unwrap();
    let orders = world.loms.orders();
    assert_eq!((orders.len(), orders[1].id), (2, own));
    assert_eq!(orders[1].items, [(1003, 1)].into());
    assert_eq!(world.purchases(1).await, ["ordered", "ordered"]);
    // Nobody was told of the first one yet.
    assert_eq!(client.purchase(1, "").await.unwrap(), orders[0].id);
    assert_eq!(client.purchase(1, "").await.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_by_loms_after_the_order_the_call_fails_and_a_retry_gets_that_order() {
    for key in ["key", ""] {
        let mut world = World::new().await;
        let checkout = world.checkout().await;
        let client = checkout.client();
        client.add(1, 1001, 2).await.unwrap();
        client.add(1, 1002, 3).await.unwrap();
        world.loms.then(Fault::DoThenHang);
        let purchase = tokio::spawn({
            let client = client.clone();
            async move { client.purchase(1, key).await }
        });
        world.loms.ordered(1).await;
        world.loms.die();
        assert_eq!(purchase.await.unwrap().unwrap_err().code(), Code::Unavailable);
        world.loms.come_back().await;
        let order = stack::testing::eventually("LOMS is found again", || async { client.purchase(1, key).await.ok() });
        assert_one_order(&world, order.await).await;
    }
}
