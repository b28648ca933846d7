//! Orders that were over long ago are forgotten, if that is wanted.

use std::time::Duration;

use loms::{
    domain::lines::{Line, Tally},
    store::past::OldOrders,
    usecase::create::CreateOrder,
};
use platform::retention::{Forgotten, Past as _};
use proto::loms::{ListOrderRequest, OrderPayedRequest};
use stack::testing::eventually;
use tonic::Code;

use crate::world::{World, create, order, user};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_were_over_long_ago_are_forgotten_and_no_others() {
    let world = World::with_stock(&[(1, 7, 3)]).await;
    let loms = world.loms().await;
    let mut client = loms.client();
    let buy = async || create(&client, order(user(), &[(7, 1)])).await.unwrap();
    let (paid, unpaid, recent) = (buy().await, buy().await, buy().await);
    let short = create(&client, order(user(), &[(7, 1)])).await.unwrap_err();
    assert_eq!(short.code(), Code::FailedPrecondition);
    for order_id in [paid, recent] {
        client.order_payed(OrderPayedRequest { order_id }).await.unwrap();
    }
    let old = format!("UPDATE orders SET created_at = created_at - interval '2 days' WHERE id <> {recent}");
    world.execute(&old).await.unwrap();

    let past = OldOrders { database: world.database() };
    let published = async || (world.number("SELECT count(*) FROM outbox").await == 0).then_some(());
    eventually("all events are published", published).await;
    let Forgotten { deleted, last } = past.forget(None, DAY).await.unwrap();
    assert_eq!(deleted, 2, "the paid one and the failed one");
    assert_eq!(past.forget(last.as_ref(), DAY).await.unwrap().last, None, "nothing else is as old");
    for (order_id, is_there) in [(paid, false), (unpaid, true), (recent, true)] {
        assert_eq!(client.list_order(ListOrderRequest { order_id }).await.is_ok(), is_there);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_which_not_all_is_published_is_not_over() {
    let world = World::with_stock(&[]).await;
    // Without a relay, its events stay in the outbox.
    let orders = world.orders(Duration::from_secs(600));
    let mut tally = Tally::default();
    tally.add(Line { sku: 7u32.try_into().unwrap(), count: 1u32.try_into().unwrap() }).unwrap();
    let command = CreateOrder { user: user().try_into().unwrap(), lines: tally.lines().unwrap(), key: None };
    orders.create(command).await.unwrap_err();
    world.execute("UPDATE orders SET created_at = created_at - interval '2 days'").await.unwrap();
    let past = OldOrders { database: world.database() };
    let Forgotten { deleted, last } = past.forget(None, DAY).await.unwrap();
    assert!(deleted == 0 && last.is_some());
    world.execute("DELETE FROM outbox").await.unwrap();
    assert_eq!(past.forget(None, DAY).await.unwrap().deleted, 1);
}
