//! Many at once: nothing is sold twice, and of those who decide about an order exactly one wins.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::{StreamExt as _, future::join_all, stream};
use loms::{
    domain::{
        lines::{Line, Tally},
        stock_file::StockFile,
    },
    usecase::{Orders, Stocks, create::CreateOrder},
};
use platform::postgres::Locks;
use proto::ids::OrderId;
use stack::testing::eventually;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::world::{World, create, order, user};

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_buyers_get_the_last_ten_units_exactly_once() {
    let world = World::with_stock(&[(1, 7, 3), (2, 7, 6), (3, 7, 1)]).await;
    let loms = world.loms().await;
    let shared = loms.client();
    let buyers = (0..64).map(|_| {
        let (client, request) = (shared.clone(), order(user(), &[(7, 1)]));
        tokio::spawn(async move { create(&client, request).await })
    });
    let answers: Vec<_> = join_all(buyers.collect::<Vec<_>>()).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 10);
    for refused in answers.into_iter().filter_map(Result::err) {
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
        assert_eq!(refused.get_details_error_info().unwrap().reason, "INSUFFICIENT_STOCK");
    }
    assert_eq!(world.stock_of(7).await, (10, 10));
    assert_eq!(world.number("SELECT count(*) FROM orders WHERE status = 'awaiting payment'").await, 10);
    assert_eq!(world.number("SELECT count(*) FROM orders WHERE status = 'failed'").await, 54);
}

#[tokio::test(flavor = "multi_thread")]
async fn buyers_of_the_same_skus_in_any_order_do_not_wait_in_a_circle() {
    let stock: Vec<_> = (1..=8).flat_map(|sku| [(1, sku, 40), (2, sku, 40)]).collect();
    let world = World::with_stock(&stock).await;
    let loms = world.loms().await;
    let shared = loms.client();
    let buyers = (0..120u32).map(|buyer| {
        let items: Vec<_> = (0..8).map(|index| ((index * 3 + buyer) % 8 + 1, 1)).collect();
        let (client, request) = (shared.clone(), order(user(), &items));
        tokio::spawn(async move { create(&client, request).await })
    });
    let answers = join_all(buyers.collect::<Vec<_>>()).await;
    let (created, refused): (Vec<_>, Vec<_>) = answers.into_iter().map(Result::unwrap).partition(Result::is_ok);
    assert_eq!(created.len(), 80, "as many as there are units");
    for status in refused.into_iter().filter_map(Result::err) {
        assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_imported_while_it_is_sold() {
    let world = World::with_stock(&[(1, 7, 1000), (2, 7, 1000), (1, 8, 1000)]).await;
    let orders = world.orders(Duration::from_secs(600));
    let stocks = Stocks::new(world.database());
    let buying = stream::iter(0..200).map(|_| {
        let mut tally = Tally::default();
        for sku in [7u32, 8] {
            tally.add(Line { sku: sku.try_into().unwrap(), count: 2u32.try_into().unwrap() }).unwrap();
        }
        let command = CreateOrder { user: user().try_into().unwrap(), lines: tally.lines().unwrap(), key: None };
        let orders = &orders;
        async move {
            let order = orders.create(command).await.unwrap();
            orders.pay(order).await.unwrap();
        }
    });
    let importing = async {
        for _ in 0..40 {
            // In another order than the one in which orders lock stock.
            let file = StockFile::parse(b"warehouse_id,sku,count\n1,8,5000\n2,7,5000\n3,9,5000\n1,7,5000\n");
            assert_eq!(stocks.import(file).await.unwrap(), 4);
        }
    };
    tokio::join!(buying.buffer_unordered(8).collect::<Vec<_>>(), importing);
    assert_eq!(world.number("SELECT count(*) FROM orders WHERE status = 'paid'").await, 200);
}

/// Orders per round, and rounds: together they are contended for by three parties.
const ORDERS: usize = 100;
const ROUNDS: usize = 20;
/// The deadlines of a round are spread over as many milliseconds, which payments and cancellations take as well.
const SPREAD: u64 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn of_payment_cancellation_and_expiry_exactly_one_wins() {
    let stock: Vec<_> = (1..=5).flat_map(|sku| [(1, sku, 1_000_000), (2, sku, 1_000_000)]).collect();
    let world = World::with_stock(&stock).await;
    let orders = world.orders(Duration::from_secs(3600));
    let over = AtomicBool::new(false);
    let expiring = async {
        let mut expired = 0;
        while !over.load(Ordering::Relaxed) {
            let due = orders.due(7, &[]).await.unwrap();
            let (one, other) = tokio::join!(orders.expire(&due, Locks::Skip), orders.expire(&due, Locks::Wait));
            expired += one.unwrap() + other.unwrap();
        }
        expired
    };
    let racing = async {
        let mut tally = (0, 0);
        for _ in 0..ROUNDS {
            let (paid, cancelled) = race(&world, &orders).await;
            tally = (tally.0 + paid, tally.1 + cancelled);
        }
        over.store(true, Ordering::Relaxed);
        tally
    };
    let (expired, (paid, cancelled)) = tokio::join!(expiring, racing);

    assert_eq!(paid + cancelled + expired, ORDERS * ROUNDS, "each order is decided about once");
    assert!(paid > 0 && cancelled > 0 && expired > 0, "{paid} paid, {cancelled} cancelled, {expired} expired");
    let count = |status: &str| format!("SELECT count(*) FROM orders WHERE status = '{status}'");
    assert_eq!(world.number(&count("paid")).await, i64::try_from(paid).unwrap());
    assert_eq!(world.number(&count("cancelled")).await, i64::try_from(cancelled + expired).unwrap());
    let told = "SELECT count(*) FROM (SELECT order_id FROM outbox WHERE status IN ('paid', 'cancelled') \
                GROUP BY order_id HAVING count(*) = 1) AS told";
    assert_eq!(world.number(told).await, i64::try_from(ORDERS * ROUNDS).unwrap(), "each end is told once");
    let sold = "SELECT sum(count) FROM order_item JOIN orders ON id = order_id WHERE status = 'paid'";
    let left = world.number("SELECT sum(on_hand) FROM stock").await;
    assert_eq!(10_000_000 - left, world.number(sold).await, "what is paid for is gone, and nothing else");
    assert_eq!(world.number("SELECT sum(reserved) FROM stock").await, 0);
}

/// Creates orders whose deadlines come presently, pays and cancels each of them at some moment, and waits until all are
/// decided about. Answers how many were paid and how many cancelled.
async fn race(world: &World, orders: &Orders) -> (usize, usize) {
    let created: Vec<OrderId> = stream::iter(0..ORDERS)
        .map(|index| {
            let first = u32::try_from(index % 5 + 1).unwrap();
            let mut tally = Tally::default();
            for sku in [first, first % 5 + 1] {
                tally.add(Line { sku: sku.try_into().unwrap(), count: 2u32.try_into().unwrap() }).unwrap();
            }
            let command = CreateOrder { user: user().try_into().unwrap(), lines: tally.lines().unwrap(), key: None };
            async move { orders.create(command).await.unwrap() }
        })
        .buffer_unordered(16)
        .collect()
        .await;
    world
        .execute(&format!(
            "UPDATE orders SET pay_before = clock_timestamp() + random() * interval '{SPREAD} milliseconds' \
             WHERE status = 'awaiting payment'"
        ))
        .await
        .unwrap();
    let mut calls: Vec<_> = created.iter().flat_map(|&order| [(order, true), (order, false)]).collect();
    calls.sort_by_cached_key(|_| uuid::Uuid::new_v4());
    let answers: Vec<(bool, bool)> = stream::iter(calls)
        .map(|(order, pays)| {
            let orders = orders.clone();
            tokio::spawn(async move {
                // Only whoever finds the order awaiting payment changes anything, so it is asked which of the two did.
                if pays {
                    (orders.pay(order).await.is_ok(), false)
                } else {
                    (false, orders.cancel(order).await.is_ok())
                }
            })
        })
        .buffer_unordered(16)
        .map(Result::unwrap)
        .collect()
        .await;
    eventually("every order is decided about", async || {
        (world.number("SELECT count(*) FROM orders WHERE status = 'awaiting payment'").await == 0).then_some(())
    })
    .await;
    let paid = answers.iter().filter(|(paid, _)| *paid).count();
    let ids = created.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    // A cancellation of an order that expired before it succeeds as well; the message tells whose doing it was.
    let cancelled = world
        .number(&format!(
            "SELECT count(*) FROM outbox WHERE status = 'cancelled' AND message LIKE '%is cancelled.' \
             AND order_id IN ({ids})"
        ))
        .await;
    (paid, usize::try_from(cancelled).unwrap())
}
