//! One idempotency key of one user makes one order, whatever happened to the first call.

use proto::{
    loms::{CancelOrderRequest, CreateOrderRequest},
    refusal::Refusal,
};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::world::{World, create, lock, order, user};

fn with_key(request: CreateOrderRequest, key: &str) -> CreateOrderRequest {
    CreateOrderRequest { idempotency_key: key.into(), ..request }
}

#[tokio::test]
async fn the_same_key_gives_the_same_order_and_reserves_nothing_again() {
    let world = World::with_stock(&[(1, 7, 10), (1, 8, 10)]).await;
    let loms = world.loms().await;
    let client = loms.client();
    let user = user();
    let first = create(&client, with_key(order(user, &[(7, 3)]), "basket")).await.unwrap();
    assert_eq!(create(&client, with_key(order(user, &[(7, 3)]), "basket")).await.unwrap(), first);
    // Lines are added up, whatever their order.
    assert_eq!(create(&client, with_key(order(user, &[(7, 1), (7, 2)]), "basket")).await.unwrap(), first);
    assert_eq!((world.stock_of(7).await, world.stock_of(8).await), ((10, 3), (10, 0)));

    client.clone().cancel_order(CancelOrderRequest { order_id: first }).await.unwrap();
    assert_eq!(create(&client, with_key(order(user, &[(7, 3)]), "basket")).await.unwrap(), first);
    assert_eq!(world.stock_of(7).await, (10, 0));
}

#[tokio::test]
async fn a_key_that_comes_back_with_other_lines_is_refused_and_names_its_order() {
    let world = World::with_stock(&[(1, 7, 10), (1, 8, 10)]).await;
    let loms = world.loms().await;
    let client = loms.client();
    let user = user();
    let first = create(&client, with_key(order(user, &[(7, 3), (8, 1)]), "basket")).await.unwrap();
    for other in [&[(7, 3)][..], &[(7, 3), (8, 2)], &[(7, 3), (9, 1)], &[(7, 3), (8, 1), (9, 1)]] {
        let refused = create(&client, with_key(order(user, other), "basket")).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        let info = refused.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("IDEMPOTENCY_KEY_REUSED", "route256"));
        assert_eq!(info.metadata, [("order_id".to_owned(), first.to_string())].into());
    }
    assert_eq!(world.number("SELECT count(*) FROM orders").await, 1);
    assert_eq!((world.stock_of(7).await, world.stock_of(8).await), ((10, 3), (10, 1)));
}

#[tokio::test]
async fn keys_of_other_users_other_keys_and_no_keys_are_other_orders() {
    let world = World::with_stock(&[(1, 7, 10)]).await;
    let loms = world.loms().await;
    let client = loms.client();
    let (one, other) = (user(), user());
    let mut orders = Vec::new();
    for request in [
        with_key(order(one, &[(7, 1)]), "basket"),
        with_key(order(other, &[(7, 1)]), "basket"),
        with_key(order(one, &[(7, 1)]), "Basket"),
        order(one, &[(7, 1)]),
        order(one, &[(7, 1)]),
    ] {
        orders.push(create(&client, request).await.unwrap());
    }
    orders.dedup();
    assert_eq!(orders.len(), 5);
    assert_eq!(world.stock_of(7).await, (10, 5));
}

#[tokio::test]
async fn a_failed_order_is_refused_in_the_same_words_again() {
    let world = World::with_stock(&[(1, 7, 2)]).await;
    let loms = world.loms().await;
    let client = loms.client();
    let request = with_key(order(user(), &[(7, 3)]), "basket");
    let first = create(&client, request.clone()).await.unwrap_err();
    assert_eq!(first.code(), Code::FailedPrecondition);
    // Stock that arrives later does not change what happened.
    world.execute("UPDATE stock SET on_hand = 100").await.unwrap();
    let again = create(&client, request).await.unwrap_err();
    assert_eq!(again.message(), first.message());
    assert_eq!(Refusal::from_status(&again).unwrap(), Refusal::from_status(&first).unwrap());
    assert_eq!(world.number("SELECT count(*) FROM orders").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_waits_for_the_first_call_that_still_runs() {
    let world = World::with_stock(&[(1, 7, 10)]).await;
    let loms = world.loms().await;
    let request = with_key(order(user(), &[(7, 3)]), "basket");
    let stock = world.lock_stock().await;
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let (client, request) = (loms.client(), request.clone());
            tokio::spawn(async move { create(&client, request).await })
        })
        .collect();
    // They wait together.
    world.until_blocked(1).await;
    stock.rollback().await.unwrap();
    let mut orders = Vec::new();
    for call in calls {
        orders.push(call.await.unwrap().unwrap());
    }
    orders.dedup();
    assert_eq!(orders.len(), 1);
    assert_eq!(world.stock_of(7).await, (10, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_creates_the_order_when_the_first_call_is_undone() {
    let world = World::with_stock(&[(1, 7, 10)]).await;
    let loms = world.loms().await;
    let user = user();
    let mut first = world.database.pool.begin().await.unwrap();
    let insert = format!(
        "INSERT INTO orders (user_id, idempotency_key, created_at, pay_before) \
         VALUES ({user}, 'basket', now(), now() + interval '10m')"
    );
    lock(&mut first, &insert).await;
    let client = loms.client();
    let second = tokio::spawn(async move { create(&client, with_key(order(user, &[(7, 3)]), "basket")).await });
    world.until_blocked(1).await;
    first.rollback().await.unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(world.stock_of(7).await, (10, 3));
}
