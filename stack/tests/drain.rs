//! The fleet stops while events are on their way, with the real services: they have to be built, as `make test` does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use futures::{StreamExt as _, stream};
use proto::loms::{CreateOrderRequest, OrderItem, loms_client::LomsClient};
use sqlx::PgPool;
use stack::{
    certs,
    fleet::{Addresses, Fleet, Ports, Settings},
};
use tonic::transport::{Channel, Endpoint};

/// A SKU with more units than the test needs.
const PLENTY: u32 = 1212;
const ORDERS: i64 = 100;

fn loms(addresses: &Addresses) -> LomsClient<Channel> {
    let tls = certs::client_tls(&addresses.certs).unwrap();
    LomsClient::new(Endpoint::from_shared(addresses.loms.url()).unwrap().tls_config(tls).unwrap().connect_lazy())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_on_their_way_when_the_fleet_stops_are_kept_sooner_or_later() {
    let directory = tempfile::tempdir().unwrap();
    let (state, certs) = (directory.path().join("state"), directory.path().join("certs"));
    let settings = Settings { ports: Ports::free().unwrap(), ..Settings::new(state, certs) };
    let fleet = Fleet::start(&settings, &mut |_| {}).await.unwrap();
    let client = loms(fleet.addresses());
    let created = stream::iter(1..=ORDERS).map(|user| {
        let mut client = client.clone();
        let items = vec![OrderItem { sku: PLENTY, count: 1 }];
        async move { client.create_order(CreateOrderRequest { user, items, idempotency_key: String::new() }).await }
    });
    let created: Vec<_> = created.buffer_unordered(8).collect().await;
    assert!(created.iter().all(Result::is_ok), "{:?}", created.iter().find(|answer| answer.is_err()));
    fleet.stop().await;

    // LOMS publishes the other events after the new start. Those that it had already published, the broker has kept.
    let fleet = Fleet::start(&settings, &mut |_| {}).await.unwrap();
    let database = PgPool::connect(&fleet.addresses().notifications.database).await.unwrap();
    stack::testing::eventually("each order's two events are kept", async || {
        let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM message").fetch_one(&database).await.unwrap();
        (kept == 2 * ORDERS).then_some(())
    })
    .await;
    fleet.stop().await;
}
