//! Who waits for something holds nothing that others need: connections, turns, statements on the server.

use std::time::Duration;

use platform::config::{FromText as _, PostgresUrl};
use proto::loms::{ListOrderRequest, OrderPayedRequest, StocksRequest};
use sqlx::{AssertSqlSafe, Executor as _};
use stack::testing::{PostgresProxy, eventually};
use tokio::task::JoinHandle;
use tonic::{Code, Request, Status};

use crate::{
    operations::probe,
    topic::published,
    world::{Client, Running, World, create, order, until_status, user},
};

/// Buyers of one unit each, all at once.
fn buyers(loms: &Running, count: usize, sku: u32) -> Vec<JoinHandle<Result<i64, Status>>> {
    let channels: Vec<Client> = (0..4).map(|_| loms.client()).collect();
    let buyer = |client: &Client| {
        let client = client.clone();
        tokio::spawn(async move { create(&client, order(user(), &[(sku, 1)])).await })
    };
    channels.iter().cycle().take(count).map(buyer).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn buyers_who_wait_for_a_locked_row_hold_up_nobody_and_nothing_else() {
    let world = World::with_stock(&[(1, 7, 100), (1, 8, 100)]).await;
    let loms = world.loms_that_waits(Duration::from_secs(3)).await;
    let client = loms.client();
    let unpaid_of_locked = create(&client, order(user(), &[(7, 1)])).await.unwrap();
    let mut locked = world.database.pool.begin().await.unwrap();
    locked.execute("SELECT FROM stock WHERE sku = 7 FOR UPDATE").await.unwrap();
    let waiting = buyers(&loms, 40, 7);
    world.until_blocked(1).await;

    let user = user();
    let bought = create(&client, order(user, &[(8, 1)])).await.unwrap();
    client.clone().stocks(StocksRequest { sku: 7 }).await.unwrap();
    client.clone().list_order(ListOrderRequest { order_id: bought }).await.unwrap();
    // It is published, and expires, although an order of the locked SKU was to expire before it.
    until_status(&client, bought, "cancelled").await;
    published(&world, &stack::testing::brokers(), &[user], 3).await;

    locked.rollback().await.unwrap();
    for buyer in waiting {
        if let Err(status) = buyer.await.unwrap() {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        }
    }
    until_status(&client, unpaid_of_locked, "cancelled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payers_whose_stock_is_locked_hold_up_nobody() {
    let world = World::with_stock(&[(1, 7, 100), (1, 8, 100)]).await;
    let loms = world.loms().await;
    let client = loms.client();
    let mut unpaid = Vec::new();
    for _ in 0..40 {
        unpaid.push(create(&client, order(user(), &[(7, 1)])).await.unwrap());
    }
    let mut locked = world.database.pool.begin().await.unwrap();
    locked.execute("SELECT FROM stock WHERE sku = 7 FOR UPDATE").await.unwrap();
    let pay = |order_id| {
        let mut client = client.clone();
        tokio::spawn(async move { client.order_payed(OrderPayedRequest { order_id }).await })
    };
    let waiting: Vec<_> = unpaid.into_iter().map(pay).collect();
    world.until_blocked(1).await;

    let bought = create(&client, order(user(), &[(8, 1)])).await.unwrap();
    pay(bought).await.unwrap().unwrap();

    locked.rollback().await.unwrap();
    for payer in waiting {
        if let Err(status) = payer.await.unwrap() {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flash_sale_sells_every_unit_and_serves_those_who_buy_something_else() {
    let stock: Vec<_> = [(1, 7, 100)].into_iter().chain((11..=20).map(|sku| (1, sku, 1))).collect();
    let world = World::with_stock(&stock).await;
    let mut config = world.config();
    config.service.postgres.acquire_timeout = Duration::from_secs(2);
    let loms = Running::start(config).await;
    let crowd = buyers(&loms, 200, 7);
    let others: Vec<_> = (11..=20).flat_map(|sku| buyers(&loms, 1, sku)).collect();
    for other in others {
        other.await.unwrap().expect("buyers of other SKUs are served");
    }
    let mut sold = 0;
    for buyer in crowd {
        match buyer.await.unwrap() {
            Ok(_) => sold += 1,
            Err(status) => assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}"),
        }
    }
    assert_eq!(sold, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_ends_with_its_caller_and_its_connection_is_kept() {
    let stock: Vec<_> = (1..=60).map(|sku| (1, sku, 10)).collect();
    let world = World::with_stock(&stock).await;
    let loms = world.loms().await;
    let client = loms.client();
    let connections = async || -> Vec<i32> {
        let query = "SELECT pid FROM pg_stat_activity \
                     WHERE datname = current_database() AND application_name = 'loms' ORDER BY pid";
        sqlx::query_scalar(query).fetch_all(&world.database.pool).await.unwrap()
    };
    eventually("all connections are open", async || (connections().await.len() >= 16).then_some(())).await;
    let before = connections().await;
    let locked = world.lock_stock().await;
    let calls: Vec<_> = (1..=60)
        .map(|sku| {
            let mut client = client.clone();
            tokio::spawn(async move {
                let mut request = Request::new(order(user(), &[(sku, 1)]));
                request.set_timeout(Duration::from_millis(500));
                client.create_order(request).await
            })
        })
        .collect();
    for call in calls {
        assert!(call.await.unwrap().is_err());
    }
    // Nothing waits any more, although the lock is still held.
    world.until_blocked(0).await;
    locked.rollback().await.unwrap();
    create(&client, order(user(), &[(1, 1)])).await.unwrap();
    let after = connections().await;
    assert!(before.iter().all(|connection| after.contains(connection)), "{before:?} became {after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_few_connections_is_a_small_pool_and_no_outage() {
    let world = World::with_stock(&[(1, 7, 100)]).await;
    let role = format!("small_{}", user());
    for statement in [
        format!("CREATE ROLE {role} LOGIN PASSWORD 'small' CONNECTION LIMIT 8"),
        format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"),
        format!("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}"),
    ] {
        world.database.pool.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    let mut config = world.config();
    let options = world.database.pool.connect_options().as_ref().clone().username(&role).password("small");
    let url = sqlx::ConnectOptions::to_url_lossy(&options).to_string();
    config.service.postgres.connection_string = PostgresUrl::from_text(&url).unwrap();
    config.service.postgres.acquire_timeout = Duration::from_secs(2);
    let loms = Running::start(config).await;
    let client = loms.client();
    let calls: Vec<_> = (0..400)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.stocks(StocksRequest { sku: 7 }).await })
        })
        .collect();
    assert_eq!(probe(&loms, "readyz").await.0, 200);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    create(&client, order(user(), &[(7, 1)])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_on_which_nothing_passes_any_more_are_left_by_calls_and_background_work() {
    let world = World::with_stock(&[(1, 7, 100)]).await;
    let proxy = PostgresProxy::start().await;
    let mut config = world.config();
    config.service.postgres.connection_string = PostgresUrl::from_text(&proxy.url(&world.database.url)).unwrap();
    config.service.postgres.acquire_timeout = Duration::from_secs(2);
    config.orders.payment_timeout = Duration::from_secs(3);
    let loms = Running::start(config).await;
    let client = loms.client();
    proxy.freeze();
    let status = client.clone().stocks(StocksRequest { sku: 7 }).await.unwrap_err();
    assert!([Code::Unavailable, Code::DeadlineExceeded].contains(&status.code()), "{status:?}");
    let (code, reason) = probe(&loms, "readyz").await;
    assert_eq!((code, reason.trim()), (503, "Postgres does not answer"));

    proxy.mend();
    eventually("calls are answered", || async { client.clone().stocks(StocksRequest { sku: 7 }).await.ok() }).await;
    let user = user();
    let bought = || async { create(&client, order(user, &[(7, 1)])).await.ok() };
    let id = eventually("calls that write are answered", bought).await;
    until_status(&client, id, "cancelled").await;
    published(&world, &stack::testing::brokers(), &[user], 3).await;
}
