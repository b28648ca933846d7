//! Orders that nobody pays.

use std::time::Duration;

use futures::future::join_all;
use proto::loms::CancelOrderRequest;
use stack::testing::{brokers, eventually};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::{
    operations::probe,
    topic::{published, statuses},
    world::{World, create, lock, order, status, until_status, user},
};

/// How late a cancellation may be.
const SLACK: &str = "interval '1 second'";

#[tokio::test(flavor = "multi_thread")]
async fn an_unpaid_order_expires_within_a_second_and_returns_its_stock() {
    let world = World::with_stock(&[(1, 7, 5), (2, 7, 5)]).await;
    let loms = world.loms_that_waits(Duration::from_secs(1)).await;
    let client = loms.client();
    let user = user();
    let id = create(&client, order(user, &[(7, 8)])).await.unwrap();
    assert_eq!(world.stock_of(7).await, (10, 8));
    until_status(&client, id, "cancelled").await;
    assert_eq!(world.stock_of(7).await, (10, 0));

    let records = published(&world, &brokers(), &[user], 3).await;
    assert_eq!(statuses(&records, id), ["new", "awaiting payment", "cancelled"]);
    let cancelled = records.last().unwrap();
    assert_eq!(cancelled.value["Message"], format!("Order {id} is cancelled: its payment did not arrive in time."));
    let at = cancelled.value["OccurredAt"].as_str().unwrap();
    let in_time = format!("SELECT count(*) FROM orders WHERE '{at}' BETWEEN pay_before AND pay_before + {SLACK}");
    assert_eq!(world.number(&in_time).await, 1, "cancelled at {at}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_deadline_passed_while_loms_was_down_is_cancelled_when_it_is_back() {
    let world = World::with_stock(&[(1, 7, 10)]).await;
    let loms = world.loms_that_waits(Duration::from_secs(1)).await;
    let user = user();
    let id = create(&loms.client(), order(user, &[(7, 8)])).await.unwrap();
    loms.stop().await;
    eventually("the deadline has passed", async || {
        (world.number("SELECT count(*) FROM orders WHERE pay_before < clock_timestamp()").await == 1).then_some(())
    })
    .await;
    assert_eq!(world.stock_of(7).await, (10, 8));

    let loms = world.loms().await;
    until_status(&loms.client(), id, "cancelled").await;
    assert_eq!(world.stock_of(7).await, (10, 0));
    let records = published(&world, &brokers(), &[user], 3).await;
    assert_eq!(statuses(&records, id), ["new", "awaiting payment", "cancelled"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_whose_stock_is_locked_hold_up_no_other() {
    let world = World::with_stock(&[(1, 7, 1000), (1, 8, 1000)]).await;
    let loms = world.loms_that_waits(Duration::from_secs(600)).await;
    let client = loms.client();
    let locked = (0..250).map(|_| create(&client, order(user(), &[(7, 1)])));
    let locked: Vec<i64> = join_all(locked).await.into_iter().map(Result::unwrap).collect();
    let free = create(&client, order(user(), &[(8, 1)])).await.unwrap();
    let mut holder = world.database.pool.begin().await.unwrap();
    lock(&mut holder, "SELECT FROM stock WHERE sku = 7 FOR UPDATE").await;
    // However long that took, all are due only now.
    world.execute("UPDATE orders SET pay_before = created_at + interval '1 microsecond'").await.unwrap();
    until_status(&client, free, "cancelled").await;
    for &order in &locked {
        assert_eq!(status(&client, order).await, "awaiting payment");
    }
    holder.rollback().await.unwrap();
    for order in locked {
        until_status(&client, order, "cancelled").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_cancel_and_publish_each_thing_once() {
    const ORDERS: usize = 250;
    let world = World::with_stock(&[(1, 7, 1000), (2, 8, 1000)]).await;
    let replicas =
        [world.loms_that_waits(Duration::from_secs(1)).await, world.loms_that_waits(Duration::from_secs(1)).await];
    let clients = replicas.each_ref().map(|replica| replica.client());
    let user = user();
    for index in 0..ORDERS {
        let client = &clients[index % 2];
        create(client, order(user, &[(7, 2), (8, 1)])).await.unwrap();
    }
    eventually("every order is cancelled", async || {
        (world.number("SELECT count(*) FROM orders WHERE status = 'cancelled'").await == 250).then_some(())
    })
    .await;
    assert_eq!((world.stock_of(7).await, world.stock_of(8).await), ((1000, 0), (1000, 0)));

    let records = published(&world, &brokers(), &[user], 3 * ORDERS).await;
    for id in 1..=250 {
        assert_eq!(statuses(&records, id), ["new", "awaiting payment", "cancelled"], "order {id}");
    }
    let mut ids: Vec<_> = records.iter().map(crate::topic::Record::event_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), records.len(), "no event is published twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_has_lost_its_reservations_holds_up_no_other_and_says_so() {
    let world = World::with_stock(&[(1, 7, 100)]).await;
    let loms = world.loms_that_waits(Duration::from_secs(2)).await;
    let client = loms.client();
    let (mut orders, user) = (Vec::new(), user());
    for _ in 0..5 {
        orders.push(create(&client, order(user, &[(7, 1)])).await.unwrap());
    }
    let lost = orders.remove(2);
    world.execute(&format!("DELETE FROM reservation WHERE order_id = {lost}")).await.unwrap();
    world.database.leave_unchecked();

    let refused = client.clone().cancel_order(CancelOrderRequest { order_id: lost }).await.unwrap_err();
    let info = refused.get_details_error_info().unwrap();
    assert_eq!((refused.code(), info.reason.as_str()), (Code::FailedPrecondition, "ORDER_INCONSISTENT"));
    for order in orders {
        until_status(&client, order, "cancelled").await;
    }
    assert_eq!(status(&client, lost).await, "awaiting payment");
    eventually("it is skipped", async || {
        let metrics = probe(&loms, "metrics").await.1;
        metrics.contains("worker_skipped_items{worker=\"expiry\"} 1\n").then_some(())
    })
    .await;
    // It has an alert of its own, and no longer wakes anybody because it is late.
    let overdue = async |except| loms::store::unpaid::backlog(&world.database(), except).await.unwrap().overdue.count;
    assert_eq!((overdue(&[]).await, overdue(&[lost]).await), (1, 0));
}
