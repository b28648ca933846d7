//! Purchases that LOMS does not answer, or answers with an error that settles nothing.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::future::join_all;
use stack::testing::eventually;
use tonic::Code;

use crate::{
    binary::Binary,
    loms_stand_in::Fault,
    world::{Checkout, Client, World, assert_refused, assert_within, resume_soon},
};

/// Fills the cart of a user with two lines.
async fn two_lines(checkout: &Checkout, user: i64) {
    let client = checkout.client();
    client.add(user, 1001, 2).await.unwrap();
    client.add(user, 1002, 3).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_loms_costs_nothing_and_the_purchase_is_finished_when_it_is_back() {
    let mut world = World::new().await;
    let checkout = world.resuming_checkout().await;
    two_lines(&checkout, 1).await;
    world.loms.die();
    let client = checkout.client_with_deadline(Duration::from_secs(1));
    let begun = Instant::now();
    let status = client.purchase(1, "").await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "LOMS is unavailable"));
    assert_within(Duration::from_secs(1), begun);
    assert_eq!(world.purchases(1).await, ["pending"]);

    world.loms.come_back().await;
    world.all_settled().await;
    assert_eq!(world.purchases(1).await, ["ordered"]);
    assert_eq!(world.cart(1).await, BTreeMap::new());
    assert_eq!(checkout.client().purchase(1, "").await.unwrap(), world.loms.orders()[0].id);
    assert_eq!(world.loms.orders().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_refused_in_the_background_puts_every_line_back() {
    let world = World::new().await;
    let checkout = world.resuming_checkout().await;
    two_lines(&checkout, 1).await;
    world.loms.stock(1002, 0);
    world.loms.then(Fault::Fail(Code::Unavailable));
    assert_eq!(
        checkout.client_with_deadline(Duration::from_secs(1)).purchase(1, "").await.unwrap_err().code(),
        Code::Unavailable
    );
    checkout.client().add(1, 1001, 1).await.unwrap();
    world.all_settled().await;
    assert_eq!(world.purchases(1).await, ["refused"]);
    assert_eq!(world.cart(1).await, [(1001, 3), (1002, 3)].into());
    world.loms.stock(1002, 10);
    checkout.client().purchase(1, "").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_answers_the_refusal_that_came_in_the_background() {
    let world = World::new().await;
    let checkout = world.resuming_checkout().await;
    two_lines(&checkout, 1).await;
    world.loms.stock(1002, 0);
    world.loms.then(Fault::Fail(Code::Unavailable));
    let client = checkout.client_with_deadline(Duration::from_secs(1));
    assert_eq!(client.purchase(1, "key").await.unwrap_err().code(), Code::Unavailable);
    world.all_settled().await;
    let order = world.loms.orders()[0].id.to_string();
    let metadata = [("order_id", order.as_str()), ("sku", "1002"), ("requested", "3"), ("available", "0")];
    let refusal = client.purchase(1, "key").await.unwrap_err();
    assert_refused(&refusal, Code::FailedPrecondition, "INSUFFICIENT_STOCK", &metadata);
    assert_eq!(world.loms.orders().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loms_that_hangs_is_unavailable_within_the_deadline_and_the_next_call_goes_on() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    two_lines(&checkout, 1).await;
    world.loms.then(Fault::DoThenHang);
    let begun = Instant::now();
    let client = checkout.client_with_deadline(Duration::from_secs(1));
    assert_eq!(client.purchase(1, "").await.unwrap_err().code(), Code::Unavailable);
    assert_within(Duration::from_secs(1), begun);
    assert_eq!(client.purchase(1, "").await.unwrap(), world.loms.orders()[0].id);
    assert_eq!(world.loms.orders().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_settles_nothing_leaves_the_purchase_pending_whether_or_not_there_is_an_order() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    let passing = [Code::Unavailable, Code::DeadlineExceeded, Code::Aborted, Code::Cancelled];
    let errors = passing.map(|code| (code, Code::Unavailable)).into_iter();
    let errors = errors.chain([(Code::ResourceExhausted, Code::ResourceExhausted)]);
    // Without google.rpc.ErrorInfo neither NOT_FOUND nor FAILED_PRECONDITION is a refusal of the fleet.
    let errors = errors.chain(
        [Code::Internal, Code::Unknown, Code::NotFound, Code::FailedPrecondition, Code::Unimplemented]
            .map(|code| (code, Code::Internal)),
    );
    for (user, (answered, expected)) in (1..).zip(errors) {
        two_lines(&checkout, user).await;
        let orders = world.loms.orders().len();
        for fault in [Fault::Fail(answered), Fault::DoThenFail(answered), Fault::DoThenFail(answered)] {
            world.loms.then(fault);
            assert_eq!(client.purchase(user, "key").await.unwrap_err().code(), expected, "{fault:?}");
            assert_eq!(world.purchases(user).await, ["pending"], "{fault:?}");
            assert_eq!(world.cart(user).await, BTreeMap::new());
        }
        let order = client.purchase(user, "key").await.unwrap();
        assert_eq!((world.loms.orders().len(), world.loms.orders()[orders].id), (orders + 1, order), "{answered:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_loms_would_not_read_is_our_fault_and_costs_the_user_nothing() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    two_lines(&checkout, 1).await;
    for key in ["", "key"] {
        world.loms.then(Fault::Fail(Code::InvalidArgument));
        assert_eq!(client.purchase(1, key).await.unwrap_err().code(), Code::Internal);
        assert_eq!(world.cart(1).await, [(1001, 2), (1002, 3)].into());
        assert_eq!(world.purchases(1).await, Vec::<String>::new());
    }
    client.purchase(1, "key").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_a_purchase_in_doubt_are_not_in_the_cart() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    two_lines(&checkout, 1).await;
    world.loms.then(Fault::Fail(Code::Unavailable));
    client.purchase(1, "").await.unwrap_err();
    assert_eq!(client.list(1).await.unwrap(), (vec![], 0));
    let refusal = client.delete(1, 1001, 1).await.unwrap_err();
    assert_refused(&refusal, Code::NotFound, "CART_LINE_NOT_FOUND", &[("sku", "1001")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_settle_every_purchase_left_behind_once() {
    const USERS: i64 = 60;
    let world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    // SKU 1 will be sold out: the purchases of odd users will be refused, those of even users ordered.
    let bought = |user: i64| if user % 2 == 1 { 1 } else { 2 };
    join_all((1..=USERS).map(|user| {
        let client = client.clone();
        async move {
            client.add(user, bought(user), 5).await.unwrap();
            client.add(user, 3, 1).await.unwrap();
        }
    }))
    .await;
    for _ in 1..=USERS {
        world.loms.then(Fault::Fail(Code::Unavailable));
    }
    for answer in join_all((1..=USERS).map(|user| client.purchase(user, ""))).await {
        assert_eq!(answer.unwrap_err().code(), Code::Unavailable);
    }
    checkout.kill();
    world.loms.stock(1, 0);
    sqlx::query("UPDATE purchase SET resume_at = now()").execute(&world.database.pool).await.unwrap();
    let replicas = (world.checkout_with(resume_soon).await, world.checkout_with(resume_soon).await);
    world.all_settled().await;

    assert_eq!(world.loms.orders().len(), USERS as usize);
    for user in 1..=USERS {
        let refused = user % 2 == 1;
        let expected: BTreeMap<u32, u32> = if refused { [(1, 5), (3, 1)].into() } else { BTreeMap::new() };
        assert_eq!(world.cart(user).await, expected, "user {user}");
        assert_eq!(world.purchases(user).await, [if refused { "refused" } else { "ordered" }]);
    }
    drop(replicas);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_that_cannot_be_brought_to_its_end_is_told_by_name_and_holds_up_no_other() {
    let world = World::new().await;
    let soon = "token: testtoken\npurchase: {resume_after: 20ms, resume_at_most: 100ms}";
    let binary = Binary::start(&world, ("token: testtoken", soon)).await;
    world.database.refuse_updates("purchase", "NEW.user_id = 1 AND NEW.state <> 'pending'").await;
    let client = Client::new(binary.address, &binary.ca, Duration::from_secs(1));
    for user in [1, 2] {
        client.add(user, 1001, 1).await.unwrap();
        world.loms.then(Fault::Fail(Code::Unavailable));
        client.purchase(user, "key").await.unwrap_err();
    }
    let skipped = "worker_skipped_items{worker=\"resume_purchases\"}";
    binary.until_shows(&format!("{skipped} 1")).await;
    eventually("the other is ordered", || async { (world.purchases(2).await == ["ordered"]).then_some(()) }).await;
    let told = binary.logged("a purchase left in doubt cannot be brought to its end");
    assert!(told.iter().all(|line| line["user.id"] == 1 && line["purchase.id"].is_string()), "{told:?}");

    world.database.accept_updates().await;
    world.all_settled().await;
    binary.until_shows(&format!("{skipped} 0")).await;
}
