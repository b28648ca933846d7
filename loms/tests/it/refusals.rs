//! Every reason for which LOMS refuses a call, as a program reads it.

use std::{collections::BTreeMap, time::Duration};

use proto::loms::{CancelOrderRequest, ListOrderRequest, OrderPayedRequest};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::world::{Client, World, create, order, user};

/// Checks code, domain, reason and metadata.
#[track_caller]
fn assert_refused(status: &Status, code: Code, reason: &str, metadata: &[(&str, &str)]) {
    assert_eq!(status.code(), code, "{status:?}");
    let info = status.get_details_error_info().expect("a refusal carries ErrorInfo");
    assert_eq!((info.domain.as_str(), info.reason.as_str()), ("route256", reason));
    let expected: BTreeMap<_, _> = metadata.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    assert_eq!(info.metadata.into_iter().collect::<BTreeMap<String, String>>(), expected);
}

async fn pay(client: &Client, order_id: i64) -> Result<(), Status> {
    client.clone().order_payed(OrderPayedRequest { order_id }).await.map(|_| ())
}

async fn cancel(client: &Client, order_id: i64) -> Result<(), Status> {
    client.clone().cancel_order(CancelOrderRequest { order_id }).await.map(|_| ())
}

#[tokio::test]
async fn an_order_beyond_the_stock_names_the_lowest_short_sku() {
    let world = World::with_stock(&[(1, 7, 5), (2, 7, 3), (1, 8, 1), (1, 9, 100)]).await;
    let loms = world.loms().await;
    let status = create(&loms.client(), order(user(), &[(9, 1), (8, 2), (7, 5), (7, 4)])).await.unwrap_err();
    let id = world.number("SELECT max(id) FROM orders").await.to_string();
    assert_refused(
        &status,
        Code::FailedPrecondition,
        "INSUFFICIENT_STOCK",
        &[("order_id", &id), ("sku", "7"), ("requested", "9"), ("available", "8")],
    );

    let status = create(&loms.client(), order(user(), &[(4_000_000_000, 1)])).await.unwrap_err();
    let id = world.number("SELECT max(id) FROM orders").await.to_string();
    assert_refused(
        &status,
        Code::FailedPrecondition,
        "INSUFFICIENT_STOCK",
        &[("order_id", &id), ("sku", "4000000000"), ("requested", "1"), ("available", "0")],
    );
}

#[tokio::test]
async fn an_order_that_does_not_exist_is_not_found() {
    let world = World::with_stock(&[]).await;
    let loms = world.loms().await;
    let client = loms.client();
    for order_id in [1, i64::MAX] {
        let shown = client.clone().list_order(ListOrderRequest { order_id }).await.map(|_| ());
        for refused in [shown, pay(&client, order_id).await, cancel(&client, order_id).await] {
            let status = refused.unwrap_err();
            assert_refused(&status, Code::NotFound, "ORDER_NOT_FOUND", &[("order_id", &order_id.to_string())]);
        }
    }
}

#[tokio::test]
async fn an_order_in_the_wrong_status_is_neither_paid_nor_cancelled() {
    let world = World::with_stock(&[(1, 7, 10)]).await;
    let loms = world.loms().await;
    let client = loms.client();
    create(&client, order(user(), &[(7, 11)])).await.unwrap_err();
    let failed = world.number("SELECT max(id) FROM orders").await;
    let cancelled = create(&client, order(user(), &[(7, 1)])).await.unwrap();
    cancel(&client, cancelled).await.unwrap();
    let paid = create(&client, order(user(), &[(7, 1)])).await.unwrap();
    pay(&client, paid).await.unwrap();

    for (order, status) in [(failed, "failed"), (cancelled, "cancelled")] {
        let refused = pay(&client, order).await.unwrap_err();
        let metadata = [("order_id", order.to_string()), ("status", status.to_owned())];
        let metadata = metadata.each_ref().map(|(key, value)| (*key, value.as_str()));
        assert_refused(&refused, Code::FailedPrecondition, "ORDER_NOT_PAYABLE", &metadata);
    }
    for (order, status) in [(failed, "failed"), (paid, "paid")] {
        let refused = cancel(&client, order).await.unwrap_err();
        let metadata = [("order_id", order.to_string()), ("status", status.to_owned())];
        let metadata = metadata.each_ref().map(|(key, value)| (*key, value.as_str()));
        assert_refused(&refused, Code::FailedPrecondition, "ORDER_NOT_CANCELLABLE", &metadata);
    }
    assert_eq!(world.stock_of(7).await, (9, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_past_its_deadline_is_not_paid_even_before_it_is_cancelled() {
    let world = World::with_stock(&[(1, 7, 10)]).await;
    let loms = world.loms().await;
    let client = loms.client();
    let id = create(&client, order(user(), &[(7, 1)])).await.unwrap();

    // Expiry passes over an order that somebody holds, so that the payment is the next to see it.
    let mut holder = world.database.pool.begin().await.unwrap();
    let moved = "UPDATE orders SET created_at = '2000-01-01 00:00Z', pay_before = '2000-01-01 00:10Z'";
    crate::world::lock(&mut holder, moved).await;
    let paying = tokio::spawn({
        let client = client.clone();
        async move { pay(&client, id).await }
    });
    world.until_blocked(1).await;
    holder.commit().await.unwrap();

    let refused = paying.await.unwrap().unwrap_err();
    assert_refused(
        &refused,
        Code::FailedPrecondition,
        "ORDER_EXPIRED",
        &[("order_id", &id.to_string()), ("status", "awaiting payment"), ("pay_before", "2000-01-01T00:10:00.000000Z")],
    );
    crate::world::until_status(&client, id, "cancelled").await;
    assert_eq!(world.stock_of(7).await, (10, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_waited_beyond_the_deadline_comes_too_late() {
    let world = World::with_stock(&[(1, 7, 10)]).await;
    let loms = world.loms_that_waits(Duration::from_secs(1)).await;
    let client = loms.client();
    let id = create(&client, order(user(), &[(7, 1)])).await.unwrap();
    let mut holder = world.database.pool.begin().await.unwrap();
    crate::world::lock(&mut holder, "SELECT FROM orders FOR UPDATE").await;
    // The payment arrives in time, and waits for the order until its deadline has passed. It may not wait for a lock
    // for more than a second, so it arrives late.
    stack::testing::eventually("the deadline is near", async || {
        let near = "SELECT count(*) FROM orders WHERE pay_before < clock_timestamp() + interval '400 ms'";
        (world.number(near).await == 1).then_some(())
    })
    .await;
    let paying = tokio::spawn({
        let client = client.clone();
        async move { pay(&client, id).await }
    });
    world.until_blocked(1).await;
    stack::testing::eventually("the deadline has passed", async || {
        (world.number("SELECT count(*) FROM orders WHERE pay_before < clock_timestamp()").await == 1).then_some(())
    })
    .await;
    holder.rollback().await.unwrap();
    let refused = paying.await.unwrap().unwrap_err();
    let reason = refused.get_details_error_info().unwrap().reason;
    assert!(["ORDER_EXPIRED", "ORDER_NOT_PAYABLE"].contains(&reason.as_str()), "{reason}");
    crate::world::until_status(&client, id, "cancelled").await;
    assert_eq!(world.stock_of(7).await, (10, 0));
}
