//! A Postgres that is cut off and comes back.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use platform::config::{FromText as _, PostgresUrl};
use secrecy::ExposeSecret as _;
use stack::testing::{PostgresProxy, eventually};
use tonic::Code;

use crate::{
    loms_stand_in::Fault,
    world::{Checkout, World, assert_within},
};

/// A checkout whose Postgres is behind this proxy.
async fn checkout_behind(proxy: &PostgresProxy, world: &World) -> Checkout {
    world
        .checkout_with(|config| {
            let postgres = &mut config.service.postgres;
            let url = proxy.url(postgres.connection_string.expose_secret());
            postgres.connection_string = PostgresUrl::from_text(&url).unwrap();
            postgres.acquire_timeout = Duration::from_secs(2);
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_gone_is_told_within_the_deadline_and_found_again() {
    let world = World::new().await;
    let proxy = PostgresProxy::start().await;
    let checkout = checkout_behind(&proxy, &world).await;
    let client = checkout.client_with_deadline(Duration::from_secs(3));
    client.add(1, 1001, 1).await.unwrap();
    proxy.cut();
    for _ in 0..3 {
        let begun = Instant::now();
        let status = client.add(1, 1001, 1).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "Postgres is unavailable"));
        assert_within(Duration::from_secs(3), begun);
    }
    proxy.mend();
    eventually("Postgres is found again", || async { client.add(1, 1001, 1).await.ok() }).await;
    assert_eq!(world.cart(1).await, [(1001, 2)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_goes_between_order_and_settlement_leaves_one_order_and_the_retry_gets_it() {
    for key in ["key", ""] {
        let world = World::new().await;
        let proxy = PostgresProxy::start().await;
        let checkout = checkout_behind(&proxy, &world).await;
        let client = checkout.client();
        client.add(1, 1001, 2).await.unwrap();
        world.loms.then(Fault::WaitAtGate);
        let purchase = tokio::spawn({
            let client = client.clone();
            async move { client.purchase(1, key).await }
        });
        world.loms.called(2).await;
        proxy.cut();
        world.loms.open_gate();
        let status = purchase.await.unwrap().unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "Postgres is unavailable"));
        proxy.mend();

        let order = eventually("Postgres is found again", || async { client.purchase(1, key).await.ok() }).await;
        let orders = world.loms.orders();
        assert_eq!((orders.len(), orders[0].id), (1, order));
        assert_eq!(world.cart(1).await, BTreeMap::new());
    }
}
