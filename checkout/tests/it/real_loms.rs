//! Checkout with LOMS itself in the place of the stand-in. Its events stay in its outbox: it has no broker here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use futures::future::join_all;
use loms::app::Loms;
use platform::{
    config::ServiceUrl,
    service::{App, Service as _},
};
use proto::loms::{ListOrderRequest, ListOrderResponse, StocksRequest, loms_client::LomsClient};
use stack::testing::TestDatabase;
use tokio::runtime::Runtime;
use tonic::{
    Code,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::world::{Checkout, World, assert_refused};

/// A running LOMS, on a runtime of its own.
struct RealLoms {
    runtime: Option<Runtime>,
    url: String,
    client: LomsClient<Channel>,
}

impl RealLoms {
    /// One that has so many units of SKUs, in two warehouses each.
    async fn start(world: &World, stock: &[(i64, i64)]) -> Self {
        let database = TestDatabase::create(Loms::migrations()).await;
        for (sku, units) in stock {
            for (warehouse, units) in [(1, units / 2), (2, units - units / 2)] {
                sqlx::query("INSERT INTO stock (warehouse_id, sku, on_hand) VALUES ($1, $2, $3)")
                    .bind(warehouse)
                    .bind(sku)
                    .bind(units)
                    .execute(&database.pool)
                    .await
                    .unwrap();
            }
        }
        let certs = world.cert("");
        let certs = certs.display();
        let config = format!(
            "grpc: {{listen: '127.0.0.1:0', tls: {{certificate: {certs}/loms.pem, key: {certs}/loms.key, \
             client_ca: {certs}/ca.pem}}}}\n\
             admin: {{listen: '127.0.0.1:0'}}\npostgres: {{connection_string: '{}'}}\nbrokers: ['127.0.0.1:1']\n",
            database.url
        );
        let config = platform::config::parse("loms.yaml", &config, &|_| None).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let app = runtime.spawn(App::<Loms>::open(config)).await.unwrap().unwrap();
        let url = format!("https://localhost:{}", app.address().port());
        let admin = app.admin_address();
        runtime.spawn(app.serve());
        stack::testing::until_ready(admin).await;

        let read = |file: &str| fs::read_to_string(world.cert(file)).unwrap();
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read("ca.pem")))
            .identity(Identity::from_pem(read("client.pem"), read("client.key")));
        let endpoint = Endpoint::from_shared(url.clone()).unwrap().tls_config(tls).unwrap();
        Self { runtime: Some(runtime), url, client: LomsClient::new(endpoint.connect_lazy()) }
    }

    async fn checkout(&self, world: &World) -> Checkout {
        let url = <ServiceUrl as platform::config::FromText>::from_text(&self.url).unwrap();
        world.checkout_with(|config| config.services.loms = url).await
    }

    async fn order(&self, order_id: i64) -> ListOrderResponse {
        self.client.clone().list_order(ListOrderRequest { order_id }).await.unwrap().into_inner()
    }

    async fn free(&self, sku: u32) -> u64 {
        let answer = self.client.clone().stocks(StocksRequest { sku }).await.unwrap().into_inner();
        answer.stocks.iter().map(|stock| stock.count).sum()
    }
}

impl Drop for RealLoms {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn items(order: &ListOrderResponse) -> BTreeMap<u32, u32> {
    order.items.iter().map(|item| (item.sku, item.count)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_reserves_what_was_in_the_cart() {
    let world = World::new().await;
    let loms = RealLoms::start(&world, &[(1001, 10), (1002, 10)]).await;
    let checkout = loms.checkout(&world).await;
    let client = checkout.client();
    client.add(1, 1001, 2).await.unwrap();
    client.add(1, 1002, 7).await.unwrap();
    let refusal = client.add(1, 1002, 4).await.unwrap_err();
    let metadata = [("sku", "1002"), ("requested", "11"), ("available", "10")];
    assert_refused(&refusal, Code::FailedPrecondition, "INSUFFICIENT_STOCK", &metadata);

    let order = loms.order(client.purchase(1, "").await.unwrap()).await;
    assert_eq!((order.status.as_str(), order.user), ("awaiting payment", 1));
    assert_eq!(items(&order), [(1001, 2), (1002, 7)].into());
    assert_eq!((loms.free(1001).await, loms.free(1002).await), (8, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_that_comes_too_late_is_refused_and_its_order_kept_as_failed() {
    let world = World::new().await;
    let loms = RealLoms::start(&world, &[(1001, 10), (1002, 10)]).await;
    let checkout = loms.checkout(&world).await;
    let client = checkout.client();
    for user in [1, 2] {
        client.add(user, 1001, 1).await.unwrap();
        client.add(user, 1002, 6).await.unwrap();
    }
    let first = client.purchase(1, "").await.unwrap();
    let refusal = client.purchase(2, "key").await.unwrap_err();
    let failed = (first + 1).to_string();
    let metadata = [("order_id", failed.as_str()), ("sku", "1002"), ("requested", "6"), ("available", "4")];
    assert_refused(&refusal, Code::FailedPrecondition, "INSUFFICIENT_STOCK", &metadata);
    assert_eq!(loms.order(first + 1).await.status, "failed");
    assert_eq!(world.cart(2).await, [(1001, 1), (1002, 6)].into());
    assert_eq!(loms.free(1001).await, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_whose_outcome_was_never_written_down_finds_its_order_again() {
    let world = World::new().await;
    let loms = RealLoms::start(&world, &[(1001, 10)]).await;
    let checkout = loms.checkout(&world).await;
    let client = checkout.client();
    for (user, key) in [(1, ""), (2, "key")] {
        client.add(user, 1001, 2).await.unwrap();
        let order = client.purchase(user, key).await.unwrap();
        // As a crash between the order and its settlement leaves it.
        sqlx::query(
            "UPDATE purchase SET state = 'pending', order_id = NULL, settled_at = NULL, answered = false,
                 resume_at = now() + interval '1 hour' WHERE user_id = $1",
        )
        .bind(user)
        .execute(&world.database.pool)
        .await
        .unwrap();
        assert_eq!(client.purchase(user, key).await.unwrap(), order);
    }
    assert_eq!(loms.free(1001).await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn clicks_of_many_users_sell_every_unit_once() {
    let world = World::new().await;
    let loms = RealLoms::start(&world, &[(1001, 10)]).await;
    let checkout = loms.checkout(&world).await;
    let client = checkout.client();
    for user in 1..=15 {
        client.add(user, 1001, 1).await.unwrap();
    }
    // Everybody clicks twice.
    let answers = join_all((1..=15).chain(1..=15).map(|user| client.purchase(user, "one click"))).await;
    let orders: BTreeSet<i64> = answers.iter().flatten().copied().collect();
    assert_eq!((orders.len(), loms.free(1001).await), (10, 0));
    for user in 1..=15 {
        let [first, second] = [user, user + 15].map(|answer: usize| answers[answer - 1].as_ref());
        match (first, second) {
            (Ok(first), Ok(second)) => assert_eq!(first, second),
            (Err(first), Err(second)) => {
                assert_eq!((first.code(), second.code()), (Code::FailedPrecondition, Code::FailedPrecondition))
            }
            (first, second) => panic!("one user, one key, two outcomes: {first:?} {second:?}"),
        }
    }
}
