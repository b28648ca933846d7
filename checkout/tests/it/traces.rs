//! The traces of work that no single call owns: purchases that are resumed, lookups that are shared, turns that are
//! waited for.

use std::{fs, time::Duration};

use stack::testing::eventually;
use stack::{
    certs::Authority,
    collector::{Collector, Span, StatusCode},
    ports::loopback,
    product_service,
};
use tonic::Code;

use crate::{
    binary::{self, Binary},
    loms_stand_in::Fault,
    world::{Client, World},
};

/// A checkout whose spans a collector receives.
struct Traced {
    world: World,
    binary: Binary,
    collector: Collector,
}

impl Traced {
    /// With these lines in its configuration.
    async fn start(more: &str) -> Self {
        let collector = Collector::start(loopback(0)).unwrap();
        Self::start_with(World::new().await, collector, "", more, &[]).await
    }

    /// With these keys beside the address of the collector, these lines, and these variables.
    async fn start_with(
        world: World,
        collector: Collector,
        keys: &str,
        more: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        let token = "token: testtoken";
        let change = format!("{token}\njaeger: {{endpoint: '{}'{keys}}}\n{more}", collector.url());
        let binary = Binary::start_as(&world, (token, &change), |config| {
            let mut command = binary::command(&[], config);
            command.envs(variables.iter().copied());
            command
        });
        Self { binary: binary.await, world, collector }
    }
    fn client_with_deadline(&self, deadline: Duration) -> Client {
        Client::new(self.binary.address, &self.binary.ca, deadline)
    }

    /// Waits until there are so many spans of a name, and answers them by their start.
    async fn spans(&self, name: &str, count: usize) -> Vec<Span> {
        let found = || async {
            let mut spans: Vec<_> = self.collector.spans().into_iter().filter(|span| span.name == name).collect();
            spans.sort_by_key(|span| span.start);
            (spans.len() >= count).then_some(spans)
        };
        eventually(&format!("there are {count} spans {name:?}"), found).await
    }
}

fn parent<'a>(span: &Span, spans: &'a [Span]) -> Option<&'a Span> {
    spans.iter().find(|parent| parent.trace_id == span.trace_id && Some(&parent.span_id) == span.parent.as_ref())
}

fn collector_with_tls(world: &World) -> Collector {
    Collector::start_with_tls(loopback(0), &world.authority.issue("collector").unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_go_over_tls_to_a_collector_that_asks_for_a_token_and_no_log_shows_it() {
    let world = World::new().await;
    let collector = collector_with_tls(&world);
    let ca = world.cert("ca.pem").display().to_string();
    let keys = format!(", ca: '{ca}', headers: {{authorization: 'Bearer ${{OTLP_TOKEN}}'}}");
    let variables = [("OTLP_TOKEN", "hunter2"), ("RUST_LOG", "debug")];
    let fleet = Traced::start_with(world, collector, &keys, "", &variables).await;
    fleet.binary.client().add(1, 1001, 1).await.unwrap();
    fleet.spans("cart.Cart/AddToCart", 1).await;
    let calls = fleet.collector.calls();
    assert!(calls.iter().all(|headers| headers.get("authorization").unwrap() == "Bearer hunter2"), "{calls:?}");
    assert!(!fs::read_to_string(&fleet.binary.log).unwrap().contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_is_trusted_if_the_system_trusts_its_ca() {
    let world = World::new().await;
    let (collector, ca) = (collector_with_tls(&world), world.cert("ca.pem").display().to_string());
    let fleet = Traced::start_with(world, collector, "", "", &[("SSL_CERT_FILE", &ca)]).await;
    fleet.binary.client().add(1, 1001, 1).await.unwrap();
    fleet.spans("cart.Cart/AddToCart", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_nobody_trusts_gets_no_spans_and_the_log_says_why() {
    let world = World::new().await;
    let (collector, foreign) = (collector_with_tls(&world), world.cert("foreign.pem"));
    fs::write(&foreign, Authority::new().unwrap().pem()).unwrap();
    let keys = format!(", ca: '{}'", foreign.display());
    let fleet = Traced::start_with(world, collector, &keys, "", &[]).await;
    fleet.binary.client().add(1, 1001, 1).await.unwrap();
    let said = "the collector (jaeger.endpoint) does not take spans; they are lost until it does";
    let lines =
        eventually("it is told", || async { Some(fleet.binary.logged(said)).filter(|lines| !lines.is_empty()) });
    let error = lines.await[0]["error"].to_string();
    assert!(error.contains("invalid peer certificate"), "{error}");
    assert!(fleet.collector.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_that_is_resumed_is_linked_to_its_call_and_an_attempt_that_fails_is_marked() {
    let fleet = Traced::start("purchase: {resume_after: 20ms, resume_at_most: 100ms}").await;
    let client = fleet.client_with_deadline(Duration::from_secs(1));
    client.add(1, 1001, 2).await.unwrap();
    for _ in 0..2 {
        fleet.world.loms.then(Fault::Fail(Code::Unavailable));
    }
    assert_eq!(client.purchase(1, "").await.unwrap_err().code(), Code::Unavailable);
    fleet.world.all_settled().await;
    let call = fleet.spans("cart.Cart/Purchase", 1).await.remove(0);
    let attempts = fleet.spans("resume purchase", 2).await;
    let steps = fleet.spans("resume_purchases", 2).await;
    let id: String =
        sqlx::query_scalar("SELECT id::text FROM purchase").fetch_one(&fleet.world.database.pool).await.unwrap();
    for attempt in &attempts {
        assert_eq!(attempt.attribute("purchase.id"), &id);
        assert!(attempt.is_linked_to(&call) && attempt.links.len() == 1, "{attempt:?}");
        assert!(parent(attempt, &steps).is_some(), "{attempt:?}");
    }
    let [failed, done] = &attempts[..] else { panic!("{attempts:?}") };
    assert_eq!((failed.status, failed.attribute("error.type")), (StatusCode::Error, &"unavailable".into()));
    assert_eq!((done.status, done.attribute("error.type")), (StatusCode::Unset, &serde_json::Value::Null));

    let line = fleet.binary.logged("a purchase left in doubt is ordered").remove(0);
    assert_eq!((&line["purchase.id"], &line["order.id"]), (&id.into(), &fleet.world.loms.orders()[0].id.into()));
    assert_eq!(line["trace_id"], done.trace_id.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_outlives_the_call_that_began_it_and_those_who_join_it_are_linked_to_it() {
    let fleet = Traced::start("products: {attempt_timeout: 60s}").await;
    let patient = fleet.client_with_deadline(Duration::from_secs(10));
    patient.add(1, 1001, 1).await.unwrap();
    fleet.world.products.misbehave(product_service::Fault::Delay(Duration::from_secs(1)), 1);
    let first = tokio::spawn({
        let client = fleet.client_with_deadline(Duration::from_millis(500));
        async move { client.list(1).await }
    });
    eventually("the first call's lookup arrived", || async { fleet.world.products.lookups().first().cloned() }).await;
    patient.list(1).await.unwrap();
    assert_eq!(first.await.unwrap().unwrap_err().code(), Code::Unavailable);

    let [lists, lookups, waits] = [("cart.Cart/ListCart", 2), ("look up product", 1), ("wait for product", 1)]
        .map(|(name, count)| fleet.spans(name, count));
    let (lists, lookups, waits) = (lists.await, lookups.await, waits.await);
    let [first, second] = &lists[..] else { panic!("{lists:?}") };
    let ([lookup], [wait]) = (&lookups[..], &waits[..]) else { panic!("{lookups:?} {waits:?}") };
    assert_eq!((lookup.attribute("sku"), wait.attribute("sku")), (&1001.into(), &1001.into()));
    assert_eq!(parent(lookup, &lists), Some(first));
    assert!(first.end < lookup.end, "the call does not seem to last as long as what it began");
    let rpc = fleet.spans("route256.product.ProductService/GetProduct", 1).await.remove(0);
    assert_eq!(parent(&rpc, &lookups), Some(lookup));
    assert_eq!(parent(wait, &lists), Some(second));
    assert!(wait.is_linked_to(lookup), "{wait:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_is_waited_for_shows_and_one_that_is_not_does_not() {
    let fleet = Traced::start("products: {rate_per_second: 2, max_concurrent: 2}").await;
    let client = fleet.client_with_deadline(Duration::from_secs(10));
    for sku in [1001, 1002, 1003] {
        client.add(1, sku, 1).await.unwrap();
    }
    let free = "SELECT count(*) FROM product_turn HAVING count(*) = 4 AND max(free_at) < now()";
    let free =
        || async { sqlx::query_scalar::<_, i64>(free).fetch_optional(&fleet.world.database.pool).await.unwrap() };
    eventually("the background work has given back its turn", free).await;
    client.list(1).await.unwrap();
    let lookups = fleet.spans("look up product", 3).await;
    let waits = fleet.spans("wait for turn", 1).await;
    let [wait] = &waits[..] else { panic!("{waits:?}") };
    assert!(parent(wait, &lookups).is_some(), "{wait:?}");
    assert!(Duration::from_nanos(wait.end - wait.start) > Duration::from_millis(900), "{wait:?}");
}
