//! LOMS behind a pooler that lends each transaction another session.

use std::time::Duration;

use futures::future::join_all;
use platform::config::{FromText as _, PostgresUrl, service::Pooler};
use proto::loms::{CancelOrderRequest, OrderPayedRequest};
use stack::{postgres::PgBouncer, testing::brokers};

use crate::{
    topic::{published, statuses},
    world::{Running, World, create, order, until_status, user},
};

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_made_paid_cancelled_expired_and_told_of_behind_a_pooler() {
    let world = World::with_stock(&[(1, 7, 100), (2, 7, 100), (1, 8, 20)]).await;
    let pooler = PgBouncer::start(&world.database.url, "default_pool_size = 3").await.unwrap();
    let mut config = world.config();
    config.service.postgres.connection_string = PostgresUrl::from_text(pooler.url()).unwrap();
    config.service.postgres.pooler = Some(Pooler::Transaction);
    config.orders.payment_timeout = Duration::from_secs(3);
    let replicas = [Running::start(config.clone()).await, Running::start(config).await];
    let clients = replicas.each_ref().map(Running::client);

    let users: Vec<i64> = (0..30).map(|_| user()).collect();
    let buying = users.iter().enumerate().map(|(index, &user)| {
        let client = clients[index % 2].clone();
        async move {
            // Of SKU 8 there are units for twenty of them.
            let order = create(&client, order(user, &[(7, 2), (8, 1)])).await.ok()?;
            match index % 3 {
                0 => drop(client.clone().order_payed(OrderPayedRequest { order_id: order }).await.unwrap()),
                1 => drop(client.clone().cancel_order(CancelOrderRequest { order_id: order }).await.unwrap()),
                _ => {}
            }
            let last = ["paid", "cancelled", "cancelled"][index % 3];
            Some((order, last))
        }
    });
    let bought: Vec<(i64, &str)> = join_all(buying).await.into_iter().flatten().collect();
    assert!(bought.len() >= 20, "{bought:?}");
    for (order, last) in &bought {
        until_status(&clients[0], *order, last).await;
    }
    let paid = i64::try_from(bought.iter().filter(|(_, last)| *last == "paid").count()).unwrap();
    assert_eq!((world.stock_of(7).await, world.stock_of(8).await), ((200 - 2 * paid, 0), (20 - paid, 0)));

    let events = 3 * bought.len() + 2 * (users.len() - bought.len());
    let records = published(&world, &brokers(), &users, events).await;
    assert_eq!(records.len(), events);
    for (order, last) in bought {
        assert_eq!(statuses(&records, order), ["new", "awaiting payment", last]);
    }
}
