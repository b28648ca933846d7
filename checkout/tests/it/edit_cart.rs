//! AddToCart and DeleteFromCart.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::future::join_all;
use tonic::Code;

use crate::{
    loms_stand_in::Fault,
    world::{World, assert_refused, assert_within},
};

#[tokio::test(flavor = "multi_thread")]
async fn units_of_a_sku_add_up_and_the_carts_of_users_are_apart() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    client.add(1, 1001, 2).await.unwrap();
    client.add(1, 1002, 1).await.unwrap();
    client.add(1, 1001, 3).await.unwrap();
    client.add(2, 1001, 7).await.unwrap();
    assert_eq!(world.cart(1).await, [(1001, 5), (1002, 1)].into());
    assert_eq!(world.cart(2).await, [(1001, 7)].into());
    assert_eq!(world.loms.orders().len(), 0, "a cart reserves nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_never_wants_more_than_is_free_over_all_warehouses() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    world.loms.stock(1001, 10);
    client.add(1, 1001, 7).await.unwrap();
    let refusal = client.add(1, 1001, 4).await.unwrap_err();
    let metadata = [("sku", "1001"), ("requested", "11"), ("available", "10")];
    assert_refused(&refusal, Code::FailedPrecondition, "INSUFFICIENT_STOCK", &metadata);
    client.add(1, 1001, 3).await.unwrap();
    assert_eq!(world.cart(1).await, [(1001, 10)].into());

    world.loms.stock(1002, 0);
    let refusal = client.add(1, 1002, 65_535).await.unwrap_err();
    let metadata = [("sku", "1002"), ("requested", "65535"), ("available", "0")];
    assert_refused(&refusal, Code::FailedPrecondition, "INSUFFICIENT_STOCK", &metadata);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_holds_100_skus_and_65535_units_of_each_and_no_more() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    for sku in 1..=100 {
        client.add(1, sku, 65_534).await.unwrap();
    }
    let refusal = client.add(1, 101, 1).await.unwrap_err();
    assert_refused(&refusal, Code::FailedPrecondition, "CART_LIMIT", &[("limit", "100")]);
    client.add(1, 100, 1).await.unwrap();
    // The limit is told before the stock, which is short as well.
    world.loms.stock(100, 0);
    let refusal = client.add(1, 100, 1).await.unwrap_err();
    assert_refused(&refusal, Code::FailedPrecondition, "CART_LIMIT", &[("limit", "65535")]);
    assert_eq!(world.cart(1).await.len(), 100);

    client.delete(1, 1, 65_535).await.unwrap();
    client.add(1, 101, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_at_the_same_time_never_bring_a_cart_over_its_limits() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    let skus = join_all((1..=130).map(|sku| client.add(1, sku, 1))).await;
    assert_eq!(skus.iter().filter(|answer| answer.is_ok()).count(), 100);
    let units = join_all((0..40).map(|_| client.add(2, 7, 2000))).await;
    assert_eq!(units.iter().filter(|answer| answer.is_ok()).count(), 32);
    for answer in skus.into_iter().chain(units) {
        if let Err(status) = answer {
            assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
        }
    }
    assert_eq!(world.cart(1).await.len(), 100);
    assert_eq!(world.cart(2).await, [(7, 64_000)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_at_the_same_time_never_want_more_than_is_free() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    world.loms.stock(1001, 10);
    let answers = join_all((0..40).map(|_| client.add(1, 1001, 1))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 10);
    assert_eq!(world.cart(1).await, [(1001, 10)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn units_are_taken_off_until_the_line_goes() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    client.add(1, 1001, 5).await.unwrap();
    client.add(1, 1002, 5).await.unwrap();
    client.add(2, 1001, 5).await.unwrap();
    client.delete(1, 1001, 2).await.unwrap();
    client.delete(1, 1002, 6).await.unwrap();
    assert_eq!(world.cart(1).await, [(1001, 3)].into());
    client.delete(1, 1001, 3).await.unwrap();
    assert_eq!(world.cart(1).await, BTreeMap::new());
    assert_eq!(world.cart(2).await, [(1001, 5)].into());

    let refusal = client.delete(1, 1001, 1).await.unwrap_err();
    assert_refused(&refusal, Code::NotFound, "CART_LINE_NOT_FOUND", &[("sku", "1001")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn units_taken_off_at_the_same_time_are_all_taken_off() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    client.add(1, 1001, 100).await.unwrap();
    for answer in join_all((0..30).map(|_| client.delete(1, 1001, 3))).await {
        answer.unwrap();
    }
    assert_eq!(world.cart(1).await, [(1001, 10)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_set_aside_by_a_purchase_in_doubt_count_towards_the_limits_so_that_they_fit_back() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    for sku in 1..=100 {
        client.add(1, sku, 65_000).await.unwrap();
    }
    world.loms.then(Fault::Fail(Code::Unavailable));
    assert_eq!(client.purchase(1, "").await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(world.cart(1).await, BTreeMap::new());

    let refusal = client.add(1, 101, 1).await.unwrap_err();
    assert_refused(&refusal, Code::FailedPrecondition, "CART_LIMIT", &[("limit", "100")]);
    let refusal = client.add(1, 1, 536).await.unwrap_err();
    assert_refused(&refusal, Code::FailedPrecondition, "CART_LIMIT", &[("limit", "65535")]);
    client.add(1, 1, 535).await.unwrap();

    world.loms.stock(50, 0);
    assert_eq!(client.purchase(1, "").await.unwrap_err().code(), Code::FailedPrecondition);
    let cart = world.cart(1).await;
    assert_eq!((cart.len(), cart[&1], cart[&100]), (100, 65_535, 65_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loms_that_fails_is_told_within_the_deadline_and_changes_nothing() {
    let mut world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client_with_deadline(Duration::from_secs(1));
    let unavailable = (Code::Unavailable, "LOMS is unavailable");
    let overloaded = (Code::ResourceExhausted, "the service has too much to do; try again later");
    for (fault, expected) in [
        (Fault::Fail(Code::Unavailable), unavailable),
        (Fault::Fail(Code::ResourceExhausted), overloaded),
        (Fault::Hang, unavailable),
    ] {
        world.loms.then(fault);
        let begun = Instant::now();
        let status = client.add(1, 1001, 1).await.unwrap_err();
        assert_eq!((status.code(), status.message()), expected, "{fault:?}");
        assert_within(Duration::from_secs(1), begun);
    }
    world.loms.then(Fault::Fail(Code::Internal));
    let status = client.add(1, 1001, 1).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(!status.message().contains("asked to fail"), "{status:?}");

    world.loms.die();
    let begun = Instant::now();
    assert_eq!(client.add(1, 1001, 1).await.unwrap_err().code(), Code::Unavailable);
    assert_within(Duration::from_secs(1), begun);
    assert_eq!(world.cart(1).await, BTreeMap::new());

    world.loms.come_back().await;
    stack::testing::eventually("checkout finds LOMS again", || async { client.add(1, 1001, 1).await.ok() }).await;
}
