//! Of all alerts that follow from one cause, only the cause is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use e2e::metrics;
use serde_json::Value;
use stack::fleet::Service;

use super::duty::{Duty, alert};
use crate::files::{self, list, path, text};

/// An alert by its name and its labels.
type Labelled<'a> = (&'a str, &'a [(&'a str, &'a str)]);

fn alerts(labelled: &[Labelled<'_>]) -> Vec<Value> {
    labelled.iter().map(|(name, labels)| alert(name, labels)).collect()
}

/// What fires in a service whose Postgres is dead, without its name.
const IN_ITSELF: [Labelled<'_>; 4] = [
    ("PostgresPoolExhausted", &[("instance", "a"), ("pool", "writes")]),
    ("PostgresPoolExhausted", &[("instance", "a"), ("pool", "reads")]),
    ("PostgresPoolExhausted", &[("instance", "a"), ("pool", "background")]),
    ("WorkerFailing", &[("instance", "a"), ("worker", "measure")]),
];

const CHECKOUT: [Labelled<'_>; 9] = [
    ("WorkerFailing", &[("job", "checkout"), ("instance", "a"), ("worker", "resume_purchases")]),
    ("CallsFailing", &[("job", "checkout"), ("grpc_service", "cart.Cart"), ("grpc_method", "AddToCart")]),
    ("CallsFailing", &[("job", "checkout"), ("grpc_service", "cart.Cart"), ("grpc_method", "ListCart")]),
    ("LoadShedding", &[("job", "checkout")]),
    ("PurchasesStuck", &[("job", "checkout")]),
    ("ServiceNotServing", &[("job", "checkout"), ("instance", "b")]),
    ("PurchaseAvailabilityFastBurn", &[("slo", "purchase_availability")]),
    ("PurchaseLatencyFastBurn", &[("slo", "purchase_latency")]),
    ("PurchaseAvailabilitySlowBurn", &[("slo", "purchase_availability")]),
];

const LOMS: [Labelled<'_>; 14] = [
    ("WorkerFailing", &[("job", "loms"), ("instance", "a"), ("worker", "relay")]),
    ("WorkerFailing", &[("job", "loms"), ("instance", "a"), ("worker", "expiry")]),
    ("WorkerFailing", &[("job", "checkout"), ("instance", "a"), ("worker", "resume_purchases")]),
    ("CallsFailing", &[("job", "loms"), ("grpc_service", "loms.Loms"), ("grpc_method", "OrderPayed")]),
    ("CallsFailing", &[("job", "checkout"), ("grpc_service", "cart.Cart"), ("grpc_method", "AddToCart")]),
    ("LoadShedding", &[("job", "loms")]),
    ("LoadShedding", &[("job", "checkout")]),
    ("OutboxStuck", &[("job", "loms")]),
    ("ExpiryLate", &[("job", "loms")]),
    ("PurchasesStuck", &[("job", "checkout")]),
    ("ServiceNotServing", &[("job", "loms"), ("instance", "b")]),
    ("PurchaseAvailabilityFastBurn", &[("slo", "purchase_availability")]),
    ("PurchaseLatencyFastBurn", &[("slo", "purchase_latency")]),
    ("NotificationFreshnessFastBurn", &[("slo", "notification_freshness")]),
];

const NOTIFICATIONS: [Labelled<'_>; 8] = [
    ("WorkerFailing", &[("job", "notifications"), ("instance", "a"), ("worker", "consume")]),
    ("WorkerFailing", &[("job", "notifications"), ("instance", "a"), ("worker", "deliver")]),
    ("CallsFailing", &[("job", "notifications"), ("grpc_service", "n"), ("grpc_method", "GetHistoryWithPeriod")]),
    ("ConsumerStuck", &[("job", "notifications")]),
    ("ConsumerLagging", &[("job", "notifications")]),
    ("DeliveriesStuck", &[("job", "notifications")]),
    ("DeliveriesFailing", &[("job", "notifications")]),
    ("NotificationFreshnessFastBurn", &[("slo", "notification_freshness")]),
];

fn followers(service: Service) -> Vec<Value> {
    let with_job = |(name, labels): &Labelled<'_>| alert(name, &[&[("job", service.name())], *labels].concat());
    let others = match service {
        Service::Checkout => alerts(&CHECKOUT),
        Service::Loms => alerts(&LOMS),
        Service::Notifications => alerts(&NOTIFICATIONS),
    };
    IN_ITSELF.iter().map(with_job).chain(others).collect()
}

/// Tells of alerts and then of what they follow from, and returns which of them somebody is told of.
async fn told(followers: &[Value], causes: &[Value]) -> BTreeSet<String> {
    let duty = Duty::start().await;
    let told = told_by(&duty, followers, causes).await;
    duty.stop().await;
    told
}

async fn told_by(duty: &Duty, followers: &[Value], causes: &[Value]) -> BTreeSet<String> {
    duty.post(followers).await;
    duty.post(causes).await;
    // Alerts that nothing mutes and that mute nothing, which are told of after all that came before them.
    let [page, ticket] = ["CertificateEndingSoon", "SpansLost"];
    duty.post(&alerts(&[(page, &[("job", "other")]), (ticket, &[("job", "other")])])).await;
    duty.page(page).await;
    duty.ticket(ticket).await;
    let told = duty.pages().into_iter().chain(duty.tickets());
    told.filter(|name| ![page, ticket].contains(&name.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_postgres_with_all_that_follows_from_it_is_one_page() {
    for service in Service::ALL {
        let cause = alert("PostgresUnreachable", &[("job", service.name())]);
        let told = told(&followers(service), &[cause]).await;
        assert_eq!(told, ["PostgresUnreachable".to_owned()].into(), "{}", service.name());
    }
    // So it is where all three have lost theirs with one machine.
    let everything: Vec<_> = Service::ALL.into_iter().flat_map(followers).collect();
    let causes = Service::ALL.map(|service| alert("PostgresUnreachable", &[("job", service.name())]));
    let duty = Duty::start().await;
    assert_eq!(told_by(&duty, &everything, &causes).await, ["PostgresUnreachable".to_owned()].into());
    assert_eq!(list(&duty.page("PostgresUnreachable").await["alerts"]).len(), 3);
    duty.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_followers_mute_too_follows_from_a_dead_postgres_by_itself() {
    let freshness: Labelled<'_> = ("NotificationFreshnessFastBurn", &[("slo", "notification_freshness")]);
    let lagging: Labelled<'_> = ("ConsumerLagging", &[("job", "notifications")]);
    for (service, followers) in [(Service::Loms, &[freshness][..]), (Service::Notifications, &[freshness, lagging])] {
        let cause = alert("PostgresUnreachable", &[("job", service.name())]);
        let told = told(&alerts(followers), &[cause]).await;
        assert_eq!(told, ["PostgresUnreachable".to_owned()].into(), "{}", service.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_down_is_one_page_too() {
    for service in Service::ALL {
        let cause = alert("ServiceDown", &[("job", service.name())]);
        let told = told(&followers(service), &[cause]).await;
        assert_eq!(told, ["ServiceDown".to_owned()].into(), "{}", service.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kafka_that_is_away_is_one_page() {
    let followers = alerts(&[
        ("WorkerFailing", &[("job", "loms"), ("instance", "a"), ("worker", "relay")]),
        ("WorkerFailing", &[("job", "notifications"), ("instance", "a"), ("worker", "consume")]),
        ("ConsumerStuck", &[("job", "notifications")]),
        ("NotificationFreshnessFastBurn", &[("slo", "notification_freshness")]),
    ]);
    let told = told(&followers, &alerts(&[("OutboxStuck", &[("job", "loms")])])).await;
    assert_eq!(told, ["OutboxStuck".to_owned()].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_follow_from_a_cause_is_told_beside_it() {
    let others = alerts(&[
        // Needs ProductService and no LOMS.
        ("CallsFailing", &[("job", "checkout"), ("grpc_service", "cart.Cart"), ("grpc_method", "ListCart")]),
        ("DeliveriesDeadMany", &[("job", "notifications")]),
        ("WorkerStalled", &[("job", "notifications"), ("instance", "a"), ("worker", "consume")]),
        ("RuntimeSaturated", &[("job", "loms"), ("instance", "a")]),
    ]);
    let told = told(&others, &alerts(&[("PostgresUnreachable", &[("job", "loms")])])).await;
    let expected = ["CallsFailing", "DeliveriesDeadMany", "PostgresUnreachable", "RuntimeSaturated", "WorkerStalled"];
    assert_eq!(told, expected.map(str::to_owned).into());
}

/// A matcher such as `job=~"loms|checkout"`: the label, the operator, and the values.
fn matcher(matcher: &Value) -> (String, &'static str, Vec<String>) {
    let (left, rest) = text(matcher).split_once('"').unwrap();
    let operator = ["=~", "!~", "!=", "="].into_iter().find(|operator| left.ends_with(operator)).unwrap();
    let values = rest.strip_suffix('"').unwrap().split('|').map(str::to_owned).collect();
    (left.strip_suffix(operator).unwrap().to_owned(), operator, values)
}

/// The alerts that a list of matchers is about.
fn meant(matchers: &Value, promises: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let mut meant = BTreeSet::new();
    for (label, operator, values) in list(matchers).iter().map(matcher) {
        assert!(operator.starts_with('=') || label == "pool", "{label}{operator}{values:?}");
        for value in values {
            match label.as_str() {
                "alertname" => {
                    let known = files::alerts();
                    let known = known.iter().map(|rule| rule.alert().unwrap());
                    let ending = value.strip_prefix(".*");
                    let found: Vec<_> = known
                        .filter(|name| ending.map_or(*name == value, |ending| name.ends_with(ending)))
                        .map(str::to_owned)
                        .collect();
                    assert!(!found.is_empty(), "there is no alert {value}");
                    meant.extend(found);
                }
                "slo" => meant.extend(promises.get(&value).unwrap_or_else(|| panic!("no promise {value}")).clone()),
                "job" => assert!(Service::ALL.iter().any(|service| service.name() == value), "no service {value}"),
                label => assert!(is_known(&value), "there is no {label} {value}"),
            }
        }
    }
    meant
}

/// Whether the docs of metrics name this value, or it is a method of checkout.
fn is_known(value: &str) -> bool {
    let [docs, protocol] = ["docs/metrics.md", "proto/cart.proto"].map(|file| fs::read_to_string(path(file)).unwrap());
    docs.contains(&format!("`{value}`")) || protocol.contains(&format!("rpc {value}("))
}

#[test]
fn rules_of_inhibition_speak_of_what_there_is_and_no_page_is_muted_by_a_ticket_or_by_itself() {
    let severities: BTreeMap<_, _> = files::alerts()
        .iter()
        .map(|rule| (rule.alert().unwrap().to_owned(), text(&rule.json["labels"]["severity"]).to_owned()))
        .collect();
    let mut promises = BTreeMap::<String, BTreeSet<String>>::new();
    for rule in files::alerts() {
        for promise in metrics::selectors(rule.query()).unwrap().iter().flat_map(|asked| asked.labels.get("slo")) {
            for promise in promise {
                promises.entry(promise.clone()).or_default().insert(rule.alert().unwrap().to_owned());
            }
        }
    }
    assert_eq!(promises.len(), 3);
    let mut mutes = BTreeMap::<String, BTreeSet<String>>::new();
    let config = files::yaml(&path("deployments/config/alertmanager/alertmanager.yml"));
    for rule in list(&config["inhibit_rules"]) {
        let [sources, targets] = ["source_matchers", "target_matchers"].map(|side| meant(&rule[side], &promises));
        assert!(!sources.is_empty() && !targets.is_empty(), "{rule}");
        for source in sources {
            assert_eq!(severities[&source], "page", "{source} mutes {targets:?}");
            mutes.entry(source).or_default().extend(targets.iter().cloned());
        }
    }
    // Remove alerts that mute nothing that is left. Those of a circle would all be silent.
    while let Some(last) = mutes.iter().find(|(_, muted)| muted.iter().all(|name| !mutes.contains_key(name))) {
        let last = last.0.clone();
        mutes.remove(&last);
    }
    assert!(mutes.is_empty(), "{mutes:?} mute each other");
}
