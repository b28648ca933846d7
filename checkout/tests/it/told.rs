//! Purchases without a key whose callers give up, or are cut off, at any moment.

use std::time::Duration;

use reqwest::{Certificate, Client};
use serde_json::{Value, json};
use stack::testing::eventually;
use tonic::Code;

use crate::world::{self, World, assert_refused};

const SKU: u32 = 1001;

/// What a caller does who got no answer: the same again. Answers the order.
async fn repeat(client: &world::Client, user: i64) -> i64 {
    client.purchase(user, "").await.expect("the caller gets the order")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_gave_up_gets_his_order_and_one_who_was_answered_finds_an_empty_cart() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let patient = checkout.client();
    let mut answered = 0;
    // A purchase takes some 10 ms, so deadlines of 1 to 40 ms end it at every moment.
    for user in 1..=120 {
        patient.add(user, SKU, 1).await.unwrap();
        let limit = Duration::from_millis(1 + (user * 7 % 40).unsigned_abs());
        let order = match patient.with_deadline(limit).purchase(user, "").await {
            Ok(order) => {
                answered += 1;
                order
            }
            Err(status) => {
                assert!(
                    [Code::DeadlineExceeded, Code::Cancelled, Code::Unavailable].contains(&status.code()),
                    "{status:?}"
                );
                repeat(&patient, user).await
            }
        };
        eventually("the caller was told", || async { patient.purchase(user, "").await.err() }).await;
        let orders: Vec<_> = world.loms.orders().into_iter().filter(|order| order.user == user).collect();
        assert_eq!(orders.iter().map(|order| order.id).collect::<Vec<_>>(), [order]);
    }
    assert!((1..120).contains(&answered), "{answered} of 120 were answered in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_was_told_finds_an_empty_cart_at_once() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    for user in 1..=20 {
        client.add(user, SKU, 1).await.unwrap();
        client.purchase(user, "").await.unwrap();
        let status = client.purchase(user, "").await.unwrap_err();
        assert_refused(&status, Code::FailedPrecondition, "CART_EMPTY", &[]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_over_http_who_was_told_finds_an_empty_cart_at_once() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let authority = Certificate::from_pem(checkout.ca.as_bytes()).unwrap();
    let http = Client::builder().no_proxy().tls_certs_only([authority]).http1_only().build().unwrap();
    let purchase = async |user: i64| -> Value {
        let url = format!("https://localhost:{}/purchase", checkout.http.port());
        http.post(url).body(json!({ "user": user }).to_string()).send().await.unwrap().json().await.unwrap()
    };
    for user in 1..=20 {
        checkout.client().add(user, SKU, 1).await.unwrap();
        assert!(purchase(user).await["orderID"].is_string());
        assert_eq!(purchase(user).await["details"][0]["reason"], "CART_EMPTY");
    }
}
