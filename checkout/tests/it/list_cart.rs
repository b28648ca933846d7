//! ListCart, and a ProductService that is slow, wrong, failing or gone.

use std::time::{Duration, Instant};

use stack::testing::eventually;
use stack::{catalogue::Product, product_service::Fault};
use tonic::Code;

use crate::world::{Checkout, World, assert_refused, assert_within};

/// A checkout, and a cart of user 1 with two lines of the catalogue.
async fn two_lines(world: &World) -> Checkout {
    let checkout = world.checkout().await;
    let client = checkout.client();
    client.add(1, 1002, 3).await.unwrap();
    client.add(1, 1001, 2).await.unwrap();
    checkout
}

fn product(sku: u32, price: u32) -> Product {
    Product { sku, name: format!("Product {sku}"), price }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_come_by_sku_with_names_prices_and_their_total() {
    let world = World::new().await;
    world.products.put(product(1001, 250));
    world.products.put(product(1002, 0));
    let checkout = two_lines(&world).await;
    let (lines, total) = checkout.client().list(1).await.unwrap();
    assert_eq!(lines, [(1001, 2, "Product 1001".to_owned(), 250), (1002, 3, "Product 1002".to_owned(), 0)]);
    assert_eq!(total, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_may_be_beyond_32_bits() {
    let world = World::new().await;
    world.products.put(product(u32::MAX, u32::MAX));
    let checkout = world.checkout().await;
    let client = checkout.client();
    client.add(1, u32::MAX, 65_535).await.unwrap();
    let (_, total) = client.list(1).await.unwrap();
    assert_eq!(total, u64::from(u32::MAX) * 65_535);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_or_unknown_cart_is_shown_without_asking_anybody() {
    let mut world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    client.add(1, 1001, 1).await.unwrap();
    client.delete(1, 1001, 1).await.unwrap();
    world.loms.die();
    for user in [1, 2] {
        assert_eq!(client.list(user).await.unwrap(), (vec![], 0));
    }
    assert_eq!(world.products.lookups().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_is_missing_is_named_and_not_remembered_as_missing() {
    let world = World::new().await;
    let checkout = two_lines(&world).await;
    let client = checkout.client();
    world.products.remove(1002);
    for _ in 0..2 {
        let refusal = client.list(1).await.unwrap_err();
        assert_refused(&refusal, Code::NotFound, "PRODUCT_NOT_FOUND", &[("sku", "1002")]);
    }
    world.products.put(product(1002, 1));
    client.list(1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_service_that_fails_in_passing_is_asked_again() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    let codes = [Code::Unavailable, Code::ResourceExhausted, Code::DeadlineExceeded, Code::Cancelled, Code::Internal];
    for (sku, code) in (1001..).zip(codes) {
        client.add(sku.into(), sku, 1).await.unwrap();
        let before = world.products.lookups().len();
        world.products.misbehave(Fault::Answer(code), 1);
        client.list(sku.into()).await.unwrap();
        assert_eq!(world.products.lookups().len(), before + 2, "{code:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_service_that_keeps_failing_is_unavailable() {
    let world = World::new().await;
    let checkout = two_lines(&world).await;
    world.products.misbehave(Fault::Answer(Code::Unavailable), u32::MAX);
    let begun = Instant::now();
    let status = checkout.client().list(1).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "ProductService is unavailable"));
    assert_within(Duration::from_secs(5), begun);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_product_service_is_waited_for() {
    let world = World::new().await;
    let checkout = two_lines(&world).await;
    world.products.misbehave(Fault::Delay(Duration::from_millis(500)), 2);
    checkout.client().list(1).await.unwrap();
    assert_eq!(world.products.lookups().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_service_that_hangs_once_is_asked_again() {
    let world = World::new().await;
    let checkout = world.checkout_with(|config| config.products.attempt_timeout = Duration::from_millis(200)).await;
    let client = checkout.client();
    client.add(1, 1001, 1).await.unwrap();
    world.products.misbehave(Fault::Hang, 1);
    client.list(1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_service_that_hangs_is_unavailable_within_the_deadline() {
    let world = World::new().await;
    let checkout = two_lines(&world).await;
    world.products.misbehave(Fault::Hang, u32::MAX);
    let begun = Instant::now();
    let status = checkout.client_with_deadline(Duration::from_secs(1)).list(1).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "ProductService is unavailable"));
    assert_within(Duration::from_secs(1), begun);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_service_that_is_gone_is_unavailable_and_found_again_when_it_is_back() {
    let mut world = World::new().await;
    let checkout = two_lines(&world).await;
    let client = checkout.client_with_deadline(Duration::from_secs(1));
    world.products.die();
    let begun = Instant::now();
    let status = client.list(1).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "ProductService is unavailable"));
    assert_within(Duration::from_secs(1), begun);

    world.products.come_back().await;
    eventually("checkout finds ProductService again", || async { client.list(1).await.ok() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_our_own_fault_and_never_told() {
    let world = World::new().await;
    let checkout = world.checkout_with(|config| config.token = "s3cret".to_owned().into()).await;
    let client = checkout.client();
    client.add(1, 1001, 1).await.unwrap();
    let status = client.list(1).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(!format!("{status:?}").contains("s3cret"), "{status:?}");
    assert_eq!(world.products.lookups().len(), 1, "it will not get better by asking again");
}
