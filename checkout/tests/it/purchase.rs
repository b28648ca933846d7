//! Purchase, when LOMS answers.

use std::collections::BTreeMap;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    loms_stand_in::Fault,
    world::{Checkout, World, assert_refused},
};

/// A checkout, and a cart of user 1 with two lines.
async fn two_lines(world: &World) -> Checkout {
    let checkout = world.checkout().await;
    let client = checkout.client();
    client.add(1, 1001, 2).await.unwrap();
    client.add(1, 1002, 3).await.unwrap();
    checkout
}

#[tokio::test(flavor = "multi_thread")]
async fn all_lines_of_the_cart_become_one_order_of_its_user() {
    let world = World::new().await;
    let checkout = two_lines(&world).await;
    let client = checkout.client();
    client.add(2, 1001, 9).await.unwrap();
    let order = client.purchase(1, "").await.unwrap();

    let orders = world.loms.orders();
    assert_eq!(orders.len(), 1);
    assert_eq!((orders[0].id, orders[0].user), (order, 1));
    assert_eq!(orders[0].items, [(1001, 2), (1002, 3)].into());
    assert_eq!(world.cart(1).await, BTreeMap::new());
    assert_eq!(world.cart(2).await, [(1001, 9)].into());
    assert_eq!(client.list(1).await.unwrap(), (vec![], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_cart_is_refused_also_after_a_purchase_that_was_answered() {
    let world = World::new().await;
    let checkout = two_lines(&world).await;
    let client = checkout.client();
    for key in ["", "key"] {
        let refusal = client.purchase(2, key).await.unwrap_err();
        assert_refused(&refusal, Code::FailedPrecondition, "CART_EMPTY", &[]);
    }
    client.purchase(1, "").await.unwrap();
    for key in ["", "key"] {
        let refusal = client.purchase(1, key).await.unwrap_err();
        assert_refused(&refusal, Code::FailedPrecondition, "CART_EMPTY", &[]);
    }
    // A refusal is no purchase: the key is still free.
    client.add(1, 1001, 1).await.unwrap();
    client.purchase(1, "key").await.unwrap();
    assert_eq!(world.loms.orders().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_answers_the_same_order_again_whatever_the_cart_holds_by_then() {
    let world = World::new().await;
    let checkout = two_lines(&world).await;
    let client = checkout.client();
    let order = client.purchase(1, "key").await.unwrap();
    assert_eq!(client.purchase(1, "key").await.unwrap(), order);
    client.add(1, 1003, 1).await.unwrap();
    assert_eq!(client.purchase(1, "key").await.unwrap(), order);
    assert_eq!(world.cart(1).await, [(1003, 1)].into());

    let second = client.purchase(1, "another key").await.unwrap();
    assert_ne!(second, order);
    client.add(2, 1001, 1).await.unwrap();
    let of_another_user = client.purchase(2, "key").await.unwrap();
    assert!(![order, second].contains(&of_another_user));
    assert_eq!(client.purchase(1, "key").await.unwrap(), order);
    assert_eq!(world.loms.orders().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_loms_refuses_is_passed_on_with_every_line_back_in_the_cart() {
    let world = World::new().await;
    let checkout = two_lines(&world).await;
    let client = checkout.client();
    world.loms.stock(1002, 1);
    let refusal = client.purchase(1, "").await.unwrap_err();
    let order = world.loms.orders()[0].id.to_string();
    let metadata = [("order_id", order.as_str()), ("sku", "1002"), ("requested", "3"), ("available", "1")];
    assert_refused(&refusal, Code::FailedPrecondition, "INSUFFICIENT_STOCK", &metadata);
    assert_eq!(refusal.message(), "of SKU 1002 there is too little");
    assert_eq!(world.cart(1).await, [(1001, 2), (1002, 3)].into());

    // Without a key nothing is held against the user.
    world.loms.stock(1002, 100);
    client.purchase(1, "").await.unwrap();
    assert_eq!(world.purchases(1).await, ["refused", "ordered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_answers_the_same_refusal_again() {
    let world = World::new().await;
    let checkout = two_lines(&world).await;
    let client = checkout.client();
    world.loms.stock(1002, 1);
    let first = client.purchase(1, "key").await.unwrap_err();
    world.loms.stock(1002, 100);
    let again = client.purchase(1, "key").await.unwrap_err();
    let details = |status: &Status| status.get_details_error_info().map(|info| (info.reason, info.metadata)).unwrap();
    assert_eq!((again.code(), again.message()), (first.code(), first.message()));
    assert_eq!(details(&again), details(&first));
    assert_eq!(world.cart(1).await, [(1001, 2), (1002, 3)].into());
    client.purchase(1, "another key").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_added_during_a_purchase_stay() {
    let world = World::new().await;
    let checkout = two_lines(&world).await;
    let client = checkout.client();
    world.loms.then(Fault::WaitAtGate);
    let calls = world.loms.calls();
    let purchase = tokio::spawn({
        let client = client.clone();
        async move { client.purchase(1, "").await }
    });
    world.loms.called(calls + 1).await;
    client.add(1, 1001, 7).await.unwrap();
    client.add(1, 1003, 1).await.unwrap();
    world.loms.open_gate();
    purchase.await.unwrap().unwrap();
    assert_eq!(world.loms.orders()[0].items, [(1001, 2), (1002, 3)].into());
    assert_eq!(world.cart(1).await, [(1001, 7), (1003, 1)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_a_refused_purchase_are_added_to_what_came_meanwhile() {
    let world = World::new().await;
    let checkout = two_lines(&world).await;
    let client = checkout.client();
    world.loms.then(Fault::WaitAtGate);
    let calls = world.loms.calls();
    let purchase = tokio::spawn({
        let client = client.clone();
        async move { client.purchase(1, "").await }
    });
    world.loms.called(calls + 1).await;
    client.add(1, 1001, 7).await.unwrap();
    client.add(1, 1003, 1).await.unwrap();
    world.loms.stock(1002, 0);
    world.loms.open_gate();
    assert_eq!(purchase.await.unwrap().unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(world.cart(1).await, [(1001, 9), (1002, 3), (1003, 1)].into());
}
