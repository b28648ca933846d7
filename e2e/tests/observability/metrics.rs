//! The metrics of the services are those of `docs/metrics.md`, are valid, begin at zero, and count what happens.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use chrono::Utc;
use e2e::metrics::{Exposition, documented};
use futures::future::join_all;
use proto::cart::{AddToCartRequest, ListCartRequest, PurchaseRequest};
use stack::{certs::Authority, fleet::Service};
use tonic::Code;

use crate::world::TracedWorld;

/// A SKU with more units than the tests need.
const PLENTY: u32 = 1212;

pub async fn services_show_exactly_the_metrics_that_the_docs_list(world: &TracedWorld) {
    let documented = documented().unwrap();
    for (service, exposition) in expositions(world).await {
        let listed = documented.iter().filter(|(_, metric)| metric.services.contains(&service));
        let listed: BTreeMap<_, _> = listed.map(|(name, metric)| (name.clone(), metric.kind.clone())).collect();
        assert_eq!(exposition.kinds, listed, "what {service} exposes, and what docs/metrics.md lists");
        for name in listed.keys() {
            let (shown, labels) = (exposition.labels(name), &documented[name].labels);
            let names = |labels: &BTreeMap<String, BTreeSet<String>>| labels.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&shown), names(labels), "labels of {name} in {service}, and in docs/metrics.md");
            for (label, values) in labels.iter().filter(|(_, values)| !values.is_empty()) {
                assert_eq!(&shown[label], values, "values of {label} of {name} in {service}, and in docs/metrics.md");
            }
        }
    }
}

pub async fn promtool_finds_no_fault_in_what_services_show(world: &TracedWorld) {
    let promtool = stack::prometheus::tools().unwrap().promtool;
    let directory = tempfile::tempdir().unwrap();
    for (service, exposition) in expositions(world).await {
        let file = directory.path().join(service);
        fs::write(&file, exposition.text).unwrap();
        let check = Command::new(&promtool).args(["check", "metrics"]).stdin(fs::File::open(&file).unwrap()).output();
        let check = check.unwrap();
        let said = [check.stdout, check.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        assert!(check.status.success() && said.is_empty(), "of {service}: {said}");
    }
}

/// The replica is a process that no other test calls.
pub async fn calls_and_transactions_are_counted_from_zero_on(world: &TracedWorld) {
    let replica = world.replica(Service::Checkout, &[]).await.unwrap();
    let ask = || async { Exposition::fetch(replica.admin).await.unwrap() };
    let expected: [(&str, f64); 20] = [
        (r#"grpc_server_started_total{grpc_method="AddToCart"}"#, 2.0),
        (r#"grpc_server_handled_total{grpc_method="AddToCart", grpc_code="OK"}"#, 2.0),
        (r#"grpc_server_handling_seconds_count{grpc_method="AddToCart"}"#, 2.0),
        (r#"grpc_server_handling_seconds_bucket{grpc_method="AddToCart", le="10"}"#, 2.0),
        (r#"grpc_server_handling_seconds_bucket{grpc_method="AddToCart", le="0.0005"}"#, 0.0),
        (r#"grpc_server_msg_received_total{grpc_method="Purchase"}"#, 2.0),
        (r#"grpc_server_msg_sent_total{grpc_method="Purchase"}"#, 1.0),
        (r#"grpc_server_handled_total{grpc_method="Purchase", grpc_code="OK"}"#, 1.0),
        (r#"grpc_server_handled_total{grpc_method="Purchase", grpc_code="FailedPrecondition"}"#, 1.0),
        (r#"grpc_server_handled_total{grpc_method="DeleteFromCart"}"#, 0.0),
        (r#"grpc_client_handled_total{grpc_service="loms.Loms", grpc_method="Stocks", grpc_code="OK"}"#, 2.0),
        (r#"grpc_client_handled_total{grpc_service="loms.Loms", grpc_method="CreateOrder", grpc_code="OK"}"#, 1.0),
        (r#"postgres_transactions_total{transaction="change_carts", outcome="committed"}"#, 4.0),
        (r#"postgres_transaction_seconds_count{transaction="change_carts"}"#, 5.0),
        (r#"postgres_transactions_total{transaction="change_carts", outcome="released"}"#, 1.0),
        (r#"batch_calls_count{batch="change_carts"}"#, 5.0),
        (r#"checkout_cart_changes_total{change="add"}"#, 2.0),
        (r#"checkout_purchases_total{outcome="ordered"}"#, 1.0),
        (r"checkout_product_lookups_total", 2.0),
        (r"checkout_product_age_seconds_count", 2.0),
    ];
    let before = ask().await;
    for (series, _) in expected {
        assert_eq!(before.sum(series), Some(0.0), "{series} at the start");
    }

    let mut checkout = world.checkout_at(replica.port).unwrap();
    let user = world.shopper();
    for _ in 0..2 {
        checkout.add_to_cart(AddToCartRequest { user, sku: PLENTY, count: 1 }).await.unwrap();
        checkout.list_cart(ListCartRequest { user }).await.unwrap();
    }
    checkout.purchase(PurchaseRequest { user, idempotency_key: "once".into() }).await.unwrap();
    let empty = checkout.purchase(PurchaseRequest { user, idempotency_key: "twice".into() }).await.unwrap_err();
    assert_eq!(empty.code(), Code::FailedPrecondition);
    let after = ask().await;
    for (series, count) in expected {
        assert_eq!(after.sum(series), Some(count), "{series}");
    }
    replica.stop().await;
}

/// The replica is a process of its own, with a certificate of its own.
pub async fn the_ends_of_certificates_are_told_and_anew_when_the_files_change(world: &TracedWorld) {
    const DAY: f64 = 86_400.0;
    let series = |key: &str| format!(r#"tls_certificate_end_timestamp_seconds{{certificate="{key}"}}"#);
    for (service, exposition) in expositions(world).await {
        let ca = if service == "checkout" { "client_tls.ca" } else { "grpc.tls.client_ca" };
        for key in ["grpc.tls.certificate", ca] {
            let left = exposition.sum(&series(key)).unwrap_or_default() - Utc::now().timestamp() as f64;
            assert!((300.0 * DAY..366.0 * DAY).contains(&left), "{key} of {service} ends in {left} s");
        }
    }

    let (directory, authority) = (tempfile::tempdir().unwrap(), Authority::new().unwrap());
    let issue =
        |days| authority.issue_for_days(days, &["checkout"]).unwrap().write(directory.path(), "checkout").unwrap();
    issue(20);
    let [certificate, key] = ["pem", "key"].map(|kind| directory.path().join(format!("checkout.{kind}")));
    let changes = [("certificate", &certificate), ("key", &key)];
    let changes = changes.map(|(name, path)| ("client_tls", name, path.to_str().unwrap()));
    let replica = world.replica(Service::Checkout, &changes).await.unwrap();
    let end =
        || async { Exposition::fetch(replica.admin).await.unwrap().sum(&series("client_tls.certificate")).unwrap() };
    let first = end().await;
    let left = first - Utc::now().timestamp() as f64;
    assert!((17.0 * DAY..20.0 * DAY).contains(&left), "it ends in {left} s");

    // What cannot be used is not in use.
    fs::write(&certificate, "no certificate").unwrap();
    assert_eq!(end().await, first);
    issue(30);
    assert_eq!(end().await, first + 10.0 * DAY);
    replica.stop().await;
}

/// The metrics of each service, by its name.
async fn expositions(world: &TracedWorld) -> Vec<(&'static str, Exposition)> {
    let ask = async |service: Service| {
        (service.name(), Exposition::fetch(world.addresses.service(service).admin).await.unwrap())
    };
    join_all(Service::ALL.into_iter().map(ask)).await
}
