//! What the calls do when nothing stands in their way.

use proto::loms::{CancelOrderRequest, ListOrderRequest, OrderItem, OrderPayedRequest, Stock, StocksRequest};
use stack::testing::eventually;

use crate::world::{World, create, order, status, user};

async fn stocks(client: &crate::world::Client, sku: u32) -> Vec<(i64, u64)> {
    let answer = client.clone().stocks(StocksRequest { sku }).await.unwrap().into_inner();
    answer.stocks.into_iter().map(|Stock { warehouse_id, count }| (warehouse_id, count)).collect()
}

#[tokio::test]
async fn an_order_reserves_every_line_and_awaits_payment() {
    let world = World::with_stock(&[(1, 7, 5), (2, 7, 9), (3, 7, 9), (1, 8, 1)]).await;
    let loms = world.loms().await;
    let client = loms.client();
    let user = user();

    // Twice 6 of SKU 7: all of warehouse 2, the rest from warehouse 3, which had as much but the higher number.
    let id = create(&client, order(user, &[(8, 1), (7, 6), (7, 6)])).await.unwrap();

    let shown = client.clone().list_order(ListOrderRequest { order_id: id }).await.unwrap().into_inner();
    assert_eq!((shown.status.as_str(), shown.user), ("awaiting payment", user));
    assert_eq!(shown.items, [OrderItem { sku: 7, count: 12 }, OrderItem { sku: 8, count: 1 }]);
    let (created, deadline) = (shown.created_at.unwrap(), shown.pay_before.unwrap());
    assert_eq!((deadline.seconds - created.seconds, deadline.nanos), (600, created.nanos));
    assert_eq!(stocks(&client, 7).await, [(1, 5), (3, 6)]);
    assert_eq!(stocks(&client, 8).await, []);
    assert_eq!(stocks(&client, 9).await, [], "an unknown SKU has no stock");
}

#[tokio::test]
async fn a_paid_order_takes_its_units_out_of_the_stock_once() {
    let world = World::with_stock(&[(1, 7, 5), (2, 7, 9)]).await;
    let loms = world.loms().await;
    let client = loms.client();
    let id = create(&client, order(user(), &[(7, 11)])).await.unwrap();

    for _ in 0..2 {
        client.clone().order_payed(OrderPayedRequest { order_id: id }).await.unwrap();
        assert_eq!(status(&client, id).await, "paid");
        assert_eq!(world.stock_of(7).await, (3, 0));
        assert_eq!(stocks(&client, 7).await, [(1, 3)]);
    }
    let events = world.number("SELECT count(*) FROM orders WHERE status = 'paid'").await;
    assert_eq!(events, 1);
}

#[tokio::test]
async fn a_cancelled_order_gives_its_units_back_once() {
    let world = World::with_stock(&[(1, 7, 5), (2, 7, 9)]).await;
    let loms = world.loms().await;
    let client = loms.client();
    let id = create(&client, order(user(), &[(7, 14)])).await.unwrap();

    for _ in 0..2 {
        client.clone().cancel_order(CancelOrderRequest { order_id: id }).await.unwrap();
        assert_eq!(status(&client, id).await, "cancelled");
        assert_eq!(world.stock_of(7).await, (14, 0));
        assert_eq!(stocks(&client, 7).await, [(1, 5), (2, 9)]);
    }
}

#[tokio::test]
async fn an_order_that_cannot_be_reserved_is_kept_as_failed_and_holds_nothing() {
    let world = World::with_stock(&[(1, 7, 5), (1, 8, 1)]).await;
    let loms = world.loms().await;
    let client = loms.client();
    create(&client, order(user(), &[(7, 5), (8, 2)])).await.unwrap_err();

    let id = world.number("SELECT max(id) FROM orders").await;
    assert_eq!(status(&client, id).await, "failed");
    assert_eq!((world.stock_of(7).await, world.stock_of(8).await), ((5, 0), (1, 0)));
}

#[tokio::test]
async fn an_order_of_a_hundred_lines_over_many_warehouses_is_reserved_at_once() {
    let stock: Vec<_> = (1..=100).flat_map(|sku| (1..=3).map(move |warehouse| (warehouse, sku, 10))).collect();
    let world = World::with_stock(&stock).await;
    let loms = world.loms().await;
    let items: Vec<_> = (1..=100).rev().map(|sku| (sku, 25)).collect();
    let id = create(&loms.client(), order(user(), &items)).await.unwrap();
    assert_eq!(world.number(&format!("SELECT count(*) FROM reservation WHERE order_id = {id}")).await, 300);
}

#[tokio::test]
async fn the_catalogue_fits_what_the_service_counts() {
    let world = World::with_stock(&[(1, 4_294_967_295, 1_000_000_000), (2, 4_294_967_295, 1_000_000_000)]).await;
    let loms = world.loms().await;
    let client = loms.client();
    let id = create(&client, order(user(), &[(u32::MAX, 65_535)])).await.unwrap();
    assert_eq!(stocks(&client, u32::MAX).await, [(1, 999_934_465), (2, 1_000_000_000)]);
    eventually("the order is kept", async || (status(&client, id).await == "awaiting payment").then_some(())).await;
}
