//! What ProductService sees of many callers: at most ten calls in any second, at most five at once, and one call for
//! all who want the same product.

use std::time::{Duration, Instant};

use futures::future::join_all;
use platform::service::App;
use stack::testing::eventually;
use stack::{
    catalogue::Product,
    product_service::{Call, Fault},
};
use tonic::Code;

use crate::world::{Checkout, Client, World};

const SECOND: Duration = Duration::from_secs(1);

/// Fills the cart of a user with SKUs, all of which ProductService knows.
async fn fill(world: &World, client: &Client, user: i64, skus: impl Iterator<Item = u32>) {
    let skus: Vec<_> = skus.collect();
    for sku in &skus {
        world.products.put(Product { sku: *sku, name: format!("Product {sku}"), price: 1 });
    }
    for answer in join_all(skus.iter().map(|sku| client.add(user, *sku, 1))).await {
        answer.unwrap();
    }
}

#[track_caller]
fn assert_at_most_ten_in_any_second(calls: &[Call]) {
    let over = calls.windows(11).find(|row| row[10].at - row[0].at < SECOND);
    assert!(over.is_none(), "{over:?}");
}

/// A checkout whose attempts last as long as they must, for stand-ins that are slow on purpose.
async fn patient_checkout(world: &World) -> Checkout {
    world.checkout_with(|config| config.products.attempt_timeout = Duration::from_secs(60)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_of_100_lines_waits_for_its_turns_and_many_callers_never_make_more_than_ten_calls_in_a_second() {
    let world = World::new().await;
    let checkout = patient_checkout(&world).await;
    let client = checkout.client();
    for user in 1..=3 {
        let first = u32::try_from(user).unwrap() * 10;
        fill(&world, &client, user, first..first + 100).await;
    }
    let patient = checkout.client_with_deadline(Duration::from_secs(60));
    for cart in join_all((0..12).map(|caller| patient.list(1 + caller % 3))).await {
        assert_eq!(cart.unwrap().0.len(), 100);
    }
    let calls = world.products.lookups();
    assert_at_most_ten_in_any_second(&calls);
    assert_eq!(calls.len(), 120, "one for each product");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_limits() {
    let world = World::new().await;
    let checkouts = [patient_checkout(&world).await, patient_checkout(&world).await];
    let carts = std::iter::zip(&checkouts, [(1, 1..=25), (2, 101..=125)]);
    let list = |(checkout, (user, skus)): (&Checkout, (i64, std::ops::RangeInclusive<u32>))| {
        let client = checkout.client_with_deadline(Duration::from_secs(60));
        let world = &world;
        async move {
            fill(world, &client, user, skus).await;
            client.list(user).await.unwrap().0.len()
        }
    };
    world.products.misbehave(Fault::Delay(SECOND / 5), 50);
    assert_eq!(join_all(carts.map(list)).await, [25, 25]);
    let calls = world.products.lookups();
    assert_at_most_ten_in_any_second(&calls);
    assert_eq!(calls.len(), 50);
    let over = calls.windows(6).find(|row| row[5].at - row[0].at < SECOND / 5);
    assert!(over.is_none(), "at most five at once: {over:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_that_somebody_has_deleted_are_made_anew() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    for sku in [1, 2] {
        fill(&world, &client, 1, sku..=sku).await;
        client.list(1).await.unwrap();
        sqlx::query("DELETE FROM product_turn").execute(&world.database.pool).await.unwrap();
    }
    assert_eq!(world.products.lookups().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_turn_in_the_background_is_not_in_the_way_of_the_end() {
    let world = World::new().await;
    let pool = &world.database.pool;
    sqlx::query(
        "INSERT INTO product_turn (bound, number, free_at) SELECT bound, number, now() + interval '1 hour' \
         FROM unnest(ARRAY['in_a_second', 'at_once']) AS bound, generate_series(1, 10) AS number",
    )
    .execute(pool)
    .await
    .unwrap();
    let mut config = world.config();
    config.service.shutdown.grace_period = Duration::from_secs(3600);
    let app = App::<checkout::app::Checkout>::open(config).await.unwrap();
    let stop = app.stop();
    let served = tokio::spawn(app.serve());
    eventually("it waits for a turn", async || {
        let asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                     AND pid <> pg_backend_pid() AND query LIKE '%take_product_turn%'";
        let asked: i64 = sqlx::query_scalar(asked).fetch_one(pool).await.unwrap();
        (asked > 0).then_some(())
    })
    .await;
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(30), served).await.expect("it ends").unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_of_a_hundred_new_products_is_not_in_the_way_of_anothers_single_one() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    fill(&world, &client, 1, 1..=100).await;
    fill(&world, &client, 2, 201..=201).await;
    fill(&world, &client, 3, 100..=100).await;
    let patient = checkout.client_with_deadline(Duration::from_secs(30));
    let large = tokio::spawn(async move { patient.list(1).await });
    eventually("the large cart waits for turns", || async { world.products.lookups().get(9).cloned() }).await;
    // The one wants a product of its own, the other the last one that the large cart would get.
    let (own, last) = tokio::join!(client.list(2), client.list(3));
    assert!(own.is_ok() && last.is_ok());
    let calls = world.products.lookups().len();
    assert!(calls < 25, "{calls} calls, of which two were theirs");
    assert_eq!(large.await.unwrap().unwrap().0.len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_cart_that_cannot_be_priced_within_the_deadline_is_unavailable_and_a_later_try_gets_further() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    fill(&world, &client, 1, 1..=25).await;
    let impatient = checkout.client_with_deadline(Duration::from_millis(1500));
    let begun = Instant::now();
    let status = impatient.list(1).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "ProductService is unavailable"));
    assert!(begun.elapsed() < Duration::from_millis(1500));
    eventually("what was answered before is remembered", || async { impatient.list(1).await.ok() }).await;
    assert_at_most_ten_in_any_second(&world.products.lookups());
    let calls = world.products.lookups().len();
    assert!((25..=30).contains(&calls), "{calls} calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_gave_up_take_no_turns() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    fill(&world, &client, 1, 1..=100).await;
    fill(&world, &client, 2, 201..=201).await;
    let impatient = checkout.client_with_deadline(Duration::from_millis(500));
    for answer in join_all((0..5).map(|_| impatient.list(1))).await {
        assert_eq!(answer.unwrap_err().code(), Code::Unavailable);
    }
    // A hundred lookups were waiting; had they stayed in line this one would come ten seconds later.
    checkout.client_with_deadline(Duration::from_secs(3)).list(2).await.unwrap();
    assert!(world.products.lookups().len() <= 12, "{} calls", world.products.lookups().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_five_calls_run_at_once() {
    let world = World::new().await;
    let checkout = patient_checkout(&world).await;
    let client = checkout.client();
    fill(&world, &client, 1, 1..=8).await;
    world.products.misbehave(Fault::Delay(SECOND), 8);
    client.list(1).await.unwrap();
    let calls = world.products.lookups();
    assert!(calls[5].at - calls[0].at >= SECOND, "{calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn background_work_leaves_half_of_the_calls_to_shoppers() {
    let world = World::new().await;
    world.products.set_listed(true);
    world.products.misbehave(Fault::Delay(SECOND / 2), 12);
    let change = |config: &mut checkout::config::Config| {
        (config.products.rate_per_second, config.products.max_concurrent) = (1000, 4);
    };
    let _checkout = world.checkout_with(change).await;
    eventually("the catalogue is read", || async { world.products.calls().get(11).cloned() }).await;
    let calls = world.products.calls();
    let over = calls[..12].windows(3).find(|row| row[2].at - row[0].at < SECOND / 2);
    assert!(over.is_none(), "{over:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_want_the_same_product_at_the_same_time_share_a_call() {
    let world = World::new().await;
    let checkout = patient_checkout(&world).await;
    let client = checkout.client();
    fill(&world, &client, 1, 1..=1).await;
    world.products.misbehave(Fault::Delay(SECOND), 1);
    for answer in join_all((0..50).map(|_| client.list(1))).await {
        answer.unwrap();
    }
    assert_eq!(world.products.lookups().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_gives_up_takes_nothing_from_those_who_wait_for_the_same_product() {
    let world = World::new().await;
    let checkout = patient_checkout(&world).await;
    let client = checkout.client();
    fill(&world, &client, 1, 1..=1).await;
    world.products.misbehave(Fault::Delay(SECOND), 1);
    let first = tokio::spawn({
        let client = checkout.client_with_deadline(SECOND / 2);
        async move { client.list(1).await }
    });
    eventually("the first caller's call arrived", || async { world.products.lookups().first().cloned() }).await;
    client.list(1).await.unwrap();
    assert_eq!(first.await.unwrap().unwrap_err().code(), Code::Unavailable);
    assert_eq!(world.products.lookups().len(), 1);
}
