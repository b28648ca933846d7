//! A user who clicks more than once.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use tonic::{Code, Status};

use crate::{
    loms_stand_in::Fault,
    world::{Checkout, World, assert_refused},
};

const CLICKS: usize = 24;

/// A cart of user 1 with two lines.
async fn fill(checkout: &Checkout) {
    let client = checkout.client();
    client.add(1, 1001, 2).await.unwrap();
    client.add(1, 1002, 3).await.unwrap();
}

/// Purchases of user 1 at the same time, spread over two replicas, with these keys.
async fn click(replicas: &[Checkout; 2], keys: &[String]) -> Vec<Result<i64, Status>> {
    let clients = replicas.each_ref().map(Checkout::client);
    let clicks = keys.iter().zip(clients.iter().cycle()).map(|(key, client)| client.purchase(1, key));
    join_all(clicks).await
}

fn orders(answers: &[Result<i64, Status>]) -> BTreeSet<i64> {
    answers.iter().flatten().copied().collect()
}

async fn two_replicas(world: &World) -> [Checkout; 2] {
    [world.checkout().await, world.checkout().await]
}

#[tokio::test(flavor = "multi_thread")]
async fn clicks_with_one_key_all_get_the_one_order() {
    let world = World::new().await;
    let replicas = two_replicas(&world).await;
    fill(&replicas[0]).await;
    let answers = click(&replicas, &vec!["key".to_owned(); CLICKS]).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!((orders(&answers).len(), world.loms.orders().len()), (1, 1));
    assert_eq!(world.cart(1).await, BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn clicks_without_a_key_make_one_order_and_those_too_late_find_the_cart_empty() {
    let world = World::new().await;
    let replicas = two_replicas(&world).await;
    fill(&replicas[0]).await;
    let answers = click(&replicas, &vec![String::new(); CLICKS]).await;
    assert_eq!((orders(&answers).len(), world.loms.orders().len()), (1, 1));
    for refusal in answers.into_iter().filter_map(Result::err) {
        assert_refused(&refusal, Code::FailedPrecondition, "CART_EMPTY", &[]);
    }
    assert_eq!(world.cart(1).await, BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn clicks_with_different_keys_make_one_order_of_one_cart() {
    let world = World::new().await;
    let replicas = two_replicas(&world).await;
    fill(&replicas[0]).await;
    let keys: Vec<_> = (0..CLICKS).map(|number| format!("key {number}")).collect();
    let answers = click(&replicas, &keys).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(world.loms.orders().len(), 1);
    for refusal in answers.into_iter().filter_map(Result::err) {
        assert_refused(&refusal, Code::FailedPrecondition, "CART_EMPTY", &[]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clicks_on_a_cart_that_is_refused_put_every_line_back_once() {
    let world = World::new().await;
    let replicas = two_replicas(&world).await;
    fill(&replicas[0]).await;
    world.loms.stock(1002, 0);
    for keys in [vec!["key".to_owned(); CLICKS], vec![String::new(); CLICKS]] {
        for answer in click(&replicas, &keys).await {
            assert_eq!(answer.unwrap_err().code(), Code::FailedPrecondition);
        }
        assert_eq!(world.cart(1).await, [(1001, 2), (1002, 3)].into());
    }
    let refused = world.loms.orders();
    assert!(refused.iter().all(|order| order.items == [(1001, 2), (1002, 3)].into()), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clicks_on_a_purchase_in_doubt_get_the_order_that_loms_has_already() {
    let world = World::new().await;
    let replicas = two_replicas(&world).await;
    fill(&replicas[0]).await;
    world.loms.then(Fault::DoThenFail(Code::Unavailable));
    replicas[0].client().purchase(1, "key").await.unwrap_err();
    let answers = click(&replicas, &vec!["key".to_owned(); CLICKS]).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!((orders(&answers).len(), world.loms.orders().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_filled_and_emptied_while_it_is_purchased_loses_and_doubles_nothing() {
    const UNITS: u32 = 60;
    let world = World::new().await;
    let replicas = two_replicas(&world).await;
    let clients = replicas.each_ref().map(Checkout::client);
    let fill = join_all((0..UNITS).map(|unit| clients[unit as usize % 2].add(1, 1001 + unit % 5, 1)));
    let buy = async {
        let mut bought = BTreeSet::new();
        for click in 0..20 {
            bought.extend(clients[click % 2].purchase(1, "").await);
        }
        bought
    };
    let (filled, bought) = tokio::join!(fill, buy);
    assert!(filled.iter().all(Result::is_ok), "{filled:?}");
    let orders = world.loms.orders();
    assert_eq!(orders.iter().map(|order| order.id).collect::<BTreeSet<_>>(), bought);
    let ordered: u32 = orders.iter().flat_map(|order| order.items.values()).sum();
    let left: u32 = world.cart(1).await.values().sum();
    assert_eq!(ordered + left, UNITS);
}
