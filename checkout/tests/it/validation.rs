//! Bad requests: every violation at once, before anything is read or written.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::world::World;

/// The fields that a status complains about.
#[track_caller]
fn violations(answer: Result<impl std::fmt::Debug, Status>) -> Vec<String> {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let request = status.get_details_bad_request().expect("a bad request is explained");
    for violation in &request.field_violations {
        assert!(!violation.description.is_empty());
        assert!(status.message().contains(&violation.field), "{status:?}");
    }
    request.field_violations.into_iter().map(|violation| violation.field).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violation_of_a_request_is_reported_at_once_and_nothing_is_asked_of_anybody() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    let all = ["user", "sku", "count"];
    assert_eq!(violations(client.add(0, 0, 0).await), all);
    assert_eq!(violations(client.add(-1, 0, 65_536).await), all);
    assert_eq!(violations(client.add(i64::MIN, 1, u32::MAX).await), ["user", "count"]);
    assert_eq!(violations(client.add(1, 1, 65_536).await), ["count"]);
    assert_eq!(violations(client.add(1, 0, 1).await), ["sku"]);
    assert_eq!(violations(client.delete(0, 0, 65_536).await), all);
    assert_eq!(violations(client.delete(1, 1, 0).await), ["count"]);
    assert_eq!(violations(client.list(0).await), ["user"]);
    assert_eq!(violations(client.purchase(0, "").await), ["user"]);
    assert_eq!(violations(client.purchase(0, &"k".repeat(129)).await), ["user", "idempotency_key"]);
    for key in ["ключ", "a\nb", "\u{7f}"] {
        assert_eq!(violations(client.purchase(1, key).await), ["idempotency_key"], "{key:?}");
    }
    assert_eq!((world.loms.calls(), world.products.lookups().len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bounds_themselves_are_accepted() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    client.add(i64::MAX, u32::MAX, 65_535).await.unwrap();
    client.add(1, 1, 1).await.unwrap();
    assert_eq!(world.cart(i64::MAX).await, [(u32::MAX, 65_535)].into());
    client.delete(i64::MAX, u32::MAX, 65_534).await.unwrap();
    let keys = ["k".repeat(128), (' '..='~').collect()];
    for (user, key) in [i64::MAX, 1].into_iter().zip(keys) {
        let order = client.purchase(user, &key).await.unwrap();
        assert_eq!(client.purchase(user, &key).await.unwrap(), order);
    }
    assert_eq!(world.loms.orders().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enormous_request_is_refused() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let status = checkout.client().purchase(1, &"k".repeat(100_000)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
}
