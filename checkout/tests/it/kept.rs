//! Names and prices that are kept: shared by replicas, asked again in the background, and shown when ProductService is slow
//! or gone.

use std::time::{Duration, Instant};

use checkout::store::product;
use futures::future::join_all;
use proto::ids::Sku;
use stack::testing::eventually;
use stack::{
    catalogue::{Product, products},
    product_service::Fault,
};
use tonic::Code;

use crate::world::{Checkout, Client, World, assert_refused, assert_within};

const SECOND: Duration = Duration::from_secs(1);

fn product(sku: u32, price: u32) -> Product {
    Product { sku, name: format!("Product {sku}"), price }
}

/// A checkout that asks again for what is older than so long, and shows it for an hour if it gets no answer.
async fn checkout_with_max_age(world: &World, max_age: Duration) -> Checkout {
    world.checkout_with(|config| config.products.max_age = max_age).await
}

/// Puts one unit of each SKU into the cart of a user.
async fn fill(client: &Client, user: i64, skus: impl Iterator<Item = u32>) {
    for answer in join_all(skus.map(|sku| client.add(user, sku, 1))).await {
        answer.unwrap();
    }
}

/// Makes all that is kept so much older.
async fn age(world: &World, by: &str) {
    let statement = "UPDATE product SET told_at = told_at - $1::text::interval";
    sqlx::query(statement).bind(by).execute(&world.database.pool).await.unwrap();
}

/// How many products are kept with a price.
async fn kept(world: &World) -> i64 {
    let statement = "SELECT count(*) FROM product WHERE price IS NOT NULL";
    sqlx::query_scalar(statement).fetch_one(&world.database.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_was_told_all_replicas_know_also_after_a_restart() {
    let world = World::new().await;
    let first = world.checkout().await;
    fill(&first.client(), 1, 1001..=1003).await;
    let cart = first.client().list(1).await.unwrap();
    first.kill();
    for checkout in [world.checkout().await, world.checkout().await] {
        assert_eq!(checkout.client().list(1).await.unwrap(), cart);
    }
    assert_eq!(world.products.lookups().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_price_shows_although_the_old_one_was_kept() {
    let world = World::new().await;
    let checkout = checkout_with_max_age(&world, SECOND).await;
    let client = checkout.client();
    fill(&client, 1, 1001..=1001).await;
    client.list(1).await.unwrap();
    world.products.put(product(1001, 77));
    eventually("the new price shows", || async { (client.list(1).await.unwrap().1 == 77).then_some(()) }).await;
    age(&world, "1 hour").await;
    world.products.put(product(1001, 78));
    assert_eq!(client.list(1).await.unwrap().1, 78, "what is old is asked again before it is shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_shoppers_look_at_is_asked_again_before_it_is_old() {
    let world = World::new().await;
    let checkout = checkout_with_max_age(&world, 10 * SECOND).await;
    let client = checkout.client();
    fill(&client, 1, 1001..=1002).await;
    client.list(1).await.unwrap();
    client.delete(1, 1002, 1).await.unwrap();
    // Half of the time is over.
    let statement = "UPDATE product SET told_at = told_at - interval '6 s', due_at = due_at - interval '6 s'";
    sqlx::query(statement).execute(&world.database.pool).await.unwrap();
    client.list(1).await.unwrap();
    eventually("it is asked again", || async { (world.products.lookups().len() == 3).then_some(()) }).await;
    assert_eq!(world.products.lookups()[2].sku, Some(1001), "nobody looks at the other one");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_price_is_shown_while_product_service_fails_hangs_or_is_gone_and_a_very_old_one_is_not() {
    let mut world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    fill(&client, 1, 1001..=1005).await;
    let cart = client.list(1).await.unwrap();
    age(&world, "1 hour").await;
    for fault in [Fault::Hang, Fault::Answer(Code::Unavailable), Fault::Answer(Code::Unauthenticated)] {
        world.products.misbehave(fault, 1000);
        let checkout = world.checkout().await;
        let client = checkout.client();
        let begun = Instant::now();
        assert_eq!(client.list(1).await.unwrap(), cart);
        assert_within(2 * SECOND, begun);
        world.products.behave();
    }
    world.products.die();
    assert_eq!(client.list(1).await.unwrap(), cart);
    age(&world, "1 day").await;
    let status = client.with_deadline(SECOND).list(1).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "ProductService is unavailable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_was_taken_out_of_the_catalogue_is_not_shown_any_more() {
    let world = World::new().await;
    let checkout = checkout_with_max_age(&world, SECOND).await;
    let client = checkout.client();
    fill(&client, 1, 1001..=1002).await;
    client.list(1).await.unwrap();
    world.products.remove(1002);
    let refusal = eventually("it is refused", || async { client.list(1).await.err() }).await;
    assert_refused(&refusal, Code::NotFound, "PRODUCT_NOT_FOUND", &[("sku", "1002")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_is_read_at_start_and_then_two_hundred_shoppers_with_new_carts_make_no_call() {
    let world = World::new().await;
    world.products.set_listed(true);
    let checkout = world.checkout_with(|config| config.products.rate_per_second = 1000).await;
    eventually("all products are kept", || async { (kept(&world).await == 120).then_some(()) }).await;
    let before = world.products.lookups().len();
    assert_eq!(before, 120);
    let client = checkout.client();
    let skus: Vec<_> = products().unwrap().into_keys().collect();
    let shopper = |user: usize| {
        let (client, skus) = (&client, &skus);
        async move {
            let (user, cart) = (i64::try_from(user).unwrap(), [skus[user % 120], skus[(user + 1) % 120]]);
            fill(client, user, cart.into_iter()).await;
            client.list(user).await.unwrap().0.len()
        }
    };
    assert_eq!(join_all((1..=200).map(shopper)).await, [2; 200]);
    assert_eq!(world.products.lookups().len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalogue_that_cannot_be_listed_is_asked_for_product_by_product() {
    let world = World::new().await;
    world.products.set_listed(true);
    world.products.misbehave(Fault::Answer(Code::Unimplemented), 1);
    let checkout = world.checkout().await;
    let client = checkout.client();
    fill(&client, 1, 1001..=1001).await;
    eventually("the cart is shown", || async { client.list(1).await.ok() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_wanted_is_asked_again_first_and_then_what_is_oldest_each_by_one_replica() {
    let world = World::new().await;
    let pool = &world.database.pool;
    let statement = "INSERT INTO product (sku, name, price, told_at, asked, due_at)
                     SELECT sku, 'x', 1, now() - age, asked, now() + due FROM (VALUES
                         (1, interval '1 min', 1, interval '0'),
                         (2, interval '2 min', 5, interval '0'),
                         (3, interval '3 days', 0, interval '0'),
                         (4, interval '5 days', 0, interval '0'),
                         (5, interval '2 min', 0, interval '0'),
                         (6, interval '2 min', 9, interval '1 min')
                     ) AS kept (sku, age, asked, due)";
    sqlx::query(statement).execute(pool).await.unwrap();
    sqlx::query("INSERT INTO product (sku) VALUES (7)").execute(pool).await.unwrap();
    let mut order = Vec::new();
    for _ in 0..6 {
        let due = product::take_due(pool, 1, Duration::from_secs(86_400), SECOND * 60).await.unwrap();
        order.extend(due.into_iter().map(Sku::get));
    }
    assert_eq!(order, [2, 1, 7, 4, 3]);
}
