//! Deadlines, too much load, and a database that does not answer.

use std::time::{Duration, Instant};

use platform::config::{FromText as _, PostgresUrl};
use proto::loms::{CancelOrderRequest, CreateOrderRequest, OrderPayedRequest, StocksRequest};
use stack::{postgres::Postgres, testing::eventually};
use tonic::{Code, Request};

use crate::{
    topic::published,
    world::{Running, World, create, order, user},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_beyond_its_deadline_ends_in_time_and_can_be_repeated() {
    let world = World::with_stock(&[(1, 7, 10)]).await;
    let loms = world.loms().await;
    let user = user();
    let stock = world.lock_stock().await;
    let create_request = CreateOrderRequest { idempotency_key: "basket".into(), ..order(user, &[(7, 1)]) };
    let mut request = Request::new(create_request.clone());
    request.set_timeout(Duration::from_millis(300));
    let started = Instant::now();
    let status = loms.client().create_order(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert!(started.elapsed() < Duration::from_secs(2), "after {:?}", started.elapsed());
    stock.rollback().await.unwrap();
    world.until_blocked(0).await;

    // Whichever of the two calls created it, there is one order.
    let id = create(&loms.client(), create_request).await.unwrap();
    assert_eq!(world.number("SELECT count(*) FROM orders").await, 1);
    assert_eq!(world.stock_of(7).await, (10, 1));
    let records = published(&world, &stack::testing::brokers(), &[user], 2).await;
    assert_eq!(records.len(), 2);
    assert!(records.iter().all(|record| record.order() == id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_without_a_deadline_gets_the_default_one_and_nothing_is_half_done_after_it() {
    let world = World::with_stock(&[(1, 7, 10)]).await;
    let mut config = world.config();
    config.service.grpc.default_deadline = Duration::from_millis(300);
    config.service.grpc.tls = None;
    let loms = Running::start(config).await;
    // The generated client by itself sets no deadline, so that it is LOMS who gives up.
    let url = format!("http://{}", loms.address);
    let mut client = proto::loms::loms_client::LomsClient::connect(url).await.unwrap();
    let order_id = client.create_order(order(user(), &[(7, 4)])).await.unwrap().into_inner().order_id;

    let stock = world.lock_stock().await;
    let started = Instant::now();
    for status in [
        client.create_order(order(user(), &[(7, 1)])).await.unwrap_err(),
        client.order_payed(OrderPayedRequest { order_id }).await.unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(4), "after {:?}", started.elapsed());
    stock.rollback().await.unwrap();
    world.until_blocked(0).await;

    client.cancel_order(CancelOrderRequest { order_id }).await.expect("it still awaits payment");
    assert_eq!(world.number("SELECT count(*) FROM orders").await, 1);
    assert_eq!(world.stock_of(7).await, (10, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_too_many_is_refused_at_once() {
    let world = World::with_stock(&[(1, 7, 10)]).await;
    let mut config = world.config();
    config.service.grpc.max_concurrent_requests = 1;
    let loms = Running::start(config).await;
    let stock = world.lock_stock().await;
    let client = loms.client();
    let call = tokio::spawn(async move { create(&client, order(user(), &[(7, 1)])).await });
    world.until_blocked(1).await;
    let status = loms.client().stocks(StocksRequest { sku: 7 }).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");

    stock.rollback().await.unwrap();
    call.await.unwrap().expect("a call within the limit is answered");
    loms.client().stocks(StocksRequest { sku: 7 }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_busy_keeps_callers_waiting_and_is_no_outage() {
    let world = World::with_stock(&[(1, 7, 10)]).await;
    let mut config = world.config();
    config.service.postgres.max_connections = 4;
    config.service.postgres.acquire_timeout = Duration::from_millis(100);
    let loms = Running::start(config).await;
    let client = loms.client();
    let mut holder = world.database.pool.begin().await.unwrap();
    crate::world::lock(&mut holder, "LOCK stock").await;
    let calls: Vec<_> = (0..12)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.stocks(StocksRequest { sku: 7 }).await })
        })
        .collect();
    world.until_blocked(1).await;
    let ready = reqwest::get(format!("http://{}/readyz", loms.admin)).await.unwrap();
    assert_eq!(ready.status(), 200, "a busy service is ready");
    holder.rollback().await.unwrap();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_gone_makes_calls_unavailable() {
    let world = World::with_stock(&[]).await;
    let postgres = Postgres::throw_away().await.unwrap();
    let mut config = world.config();
    config.service.postgres.connection_string = PostgresUrl::from_text(&postgres.url("postgres")).unwrap();
    config.service.postgres.acquire_timeout = Duration::from_millis(500);
    let migrations = <loms::app::Loms as platform::service::Service>::migrations();
    platform::postgres::migrate("loms", &config.service.postgres, &migrations).await.unwrap();
    let loms = Running::start(config).await;
    loms.client().stocks(StocksRequest { sku: 7 }).await.unwrap();
    postgres.stop().await;

    let started = Instant::now();
    let status = loms.client().stocks(StocksRequest { sku: 7 }).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(status.message(), "Postgres is unavailable");
    assert!(started.elapsed() < Duration::from_secs(3), "after {:?}", started.elapsed());
    eventually("it is not ready", async || (crate::operations::probe(&loms, "readyz").await.0 == 503).then_some(()))
        .await;
    assert_eq!(crate::operations::probe(&loms, "livez").await.0, 200);
}
