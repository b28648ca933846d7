//! Checkout behind a pooler that lends each transaction another session.

use std::time::Duration;

use futures::future::join_all;
use platform::config::{FromText as _, PostgresUrl, service::Pooler};
use stack::postgres::PgBouncer;
use tonic::Code;

use crate::{
    loms_stand_in::Fault,
    world::{World, resume_soon},
};

#[tokio::test(flavor = "multi_thread")]
async fn carts_are_filled_listed_and_bought_behind_a_pooler() {
    const USERS: i64 = 20;
    let world = World::new().await;
    let pooler = PgBouncer::start(&world.database.url, "default_pool_size = 2").await.unwrap();
    let checkout = world.checkout_with(|config| {
        config.service.postgres.connection_string = PostgresUrl::from_text(pooler.url()).unwrap();
        config.service.postgres.pooler = Some(Pooler::Transaction);
        resume_soon(config);
    });
    let checkout = checkout.await;
    let client = checkout.client();
    for user in 1..=USERS {
        client.add(user, 1001, 2).await.unwrap();
        client.add(user, 1002, 1).await.unwrap();
        client.delete(user, 1001, 1).await.unwrap();
    }
    assert_eq!(client.list(1).await.unwrap().0.len(), 2);
    world.loms.then(Fault::Fail(Code::Unavailable));
    // It is in doubt, and taken up after its deadline.
    client.with_deadline(Duration::from_secs(1)).purchase(1, "key").await.unwrap_err();
    let buying = (2..=USERS).map(|user| {
        let client = client.clone();
        async move { client.purchase(user, "key").await.unwrap() }
    });
    let orders = join_all(buying).await;
    world.all_settled().await;
    assert_eq!(world.purchases(1).await, ["ordered"]);
    for (user, order) in (2..).zip(orders) {
        assert_eq!(client.purchase(user, "key").await.unwrap(), order);
        assert!(world.cart(user).await.is_empty());
    }
}
