//! Which spans are exported, and which are not.

use e2e::{log::until_logged, metrics::Exposition};
use proto::{
    cart::{AddToCartRequest, ListCartRequest, PurchaseRequest},
    loms::{CreateOrderRequest, OrderItem},
};
use serde_json::json;
use stack::testing::eventually;
use stack::{collector::StatusCode, fleet::Service};
use tonic::Code;

use crate::{
    tree::{self, find_one},
    world::{Caller, TracedWorld, trace_id},
};

/// A SKU with more units than the tests need, and one with ten units.
const PLENTY: u32 = 1304;
const TEN_LEFT: u32 = 1412;

pub async fn a_call_that_its_caller_does_not_sample_is_logged_and_exported_nowhere(world: &TracedWorld) {
    let (unsampled, user) = (Caller::new(), world.shopper());
    let mut checkout = world.checkout().unwrap();
    checkout.add_to_cart(AddToCartRequest { user, sku: PLENTY, count: 1 }).await.unwrap();
    let request = PurchaseRequest { user, ..Default::default() };
    let answer = checkout.purchase(unsampled.call(request, false)).await.unwrap();
    assert_eq!(trace_id(&answer), unsampled.trace_id);

    let id = format!("\"trace_id\":\"{}\"", unsampled.trace_id);
    let addresses = &world.addresses;
    let rpc = |method: &str| format!("\"rpc.method\":\"{method}\"");
    for (service, about) in [
        (&addresses.checkout, rpc("cart.Cart/Purchase")),
        (&addresses.loms, rpc("loms.Loms/CreateOrder")),
        (&addresses.notifications, "\"message.id\"".to_owned()),
    ] {
        until_logged(&service.log, &[&id, &about]).await;
    }
    everything_so_far_is_exported(world).await;
    assert_eq!(tree::draw(&world.collector.trace(&unsampled.trace_id)), "");
}

pub async fn a_service_that_samples_nothing_by_itself_follows_its_callers(world: &TracedWorld) {
    let silent = world.replica(Service::Checkout, &[("jaeger", "sampling_ratio", "0")]).await.unwrap();
    let mut checkout = world.checkout_at(silent.port).unwrap();
    let cart = ListCartRequest { user: world.shopper() };
    let unasked = trace_id(&checkout.list_cart(cart).await.unwrap());
    let asked = Caller::new();
    checkout.list_cart(asked.call(cart, true)).await.unwrap();

    assert_eq!(find_one(&world.spans(&asked.trace_id, 2).await, "cart.Cart/ListCart").service(), "checkout");
    assert_eq!(tree::draw(&world.collector.trace(&unasked)), "");
    assert!(silent.stop().await.unwrap().success());
}

pub async fn steps_that_find_nothing_to_do_are_exported_nowhere(world: &TracedWorld) {
    let idle_steps = async |admin, worker: &str| {
        let series = format!(r#"worker_steps_total{{worker="{worker}", outcome="idle"}}"#);
        Exposition::fetch(admin).await.unwrap().sum(&series)
    };
    let addresses = &world.addresses;
    for (admin, worker) in [
        (addresses.loms.admin, "relay"),
        (addresses.loms.admin, "expiry"),
        (addresses.checkout.admin, "resume_purchases"),
        (addresses.notifications.admin, "deliver"),
    ] {
        let before = idle_steps(admin, worker).await.expect(worker);
        eventually("it has looked for work in vain", || async {
            idle_steps(admin, worker).await.filter(|now| *now >= before + 3.0)
        })
        .await;
    }
    everything_so_far_is_exported(world).await;
    let idle = world.collector.spans().into_iter().filter(|span| *span.attribute("worker.outcome") == json!("idle"));
    // Other tests break things. A trace with a warning or an error is exported, so that people can find it.
    let in_vain = idle.filter(|step| {
        let trace = world.collector.trace(&step.trace_id);
        trace.iter().all(|span| span.events == 0 && span.status != StatusCode::Error)
    });
    assert_eq!(tree::draw(&in_vain.collect::<Vec<_>>()), "");
}

pub async fn a_refusal_marks_the_call_that_met_it_and_nobody_who_did_as_told(world: &TracedWorld) {
    let (user, shopper) = (world.shopper(), Caller::new());
    let mut checkout = world.checkout().unwrap();
    checkout.add_to_cart(AddToCartRequest { user, sku: TEN_LEFT, count: 10 }).await.unwrap();
    let items = vec![OrderItem { sku: TEN_LEFT, count: 1 }];
    let faster = CreateOrderRequest { user: world.shopper(), items, idempotency_key: String::new() };
    world.loms().unwrap().create_order(faster).await.unwrap();
    let request = PurchaseRequest { user, ..Default::default() };
    let refusal = checkout.purchase(shopper.call(request, true)).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition);

    // The message about the failed order is the last one.
    eventually("the refusal is told", || async {
        let told = world.collector.trace(&shopper.trace_id);
        (tree::find_all(&told, "POST /bot{api_key}/sendMessage").len() == 2
            && !tree::find_all(&told, "cart.Cart/Purchase").is_empty())
        .then_some(())
    })
    .await;
    let spans = world.spans(&shopper.trace_id, 0).await;
    let refused = json!("FAILED_PRECONDITION");
    let marked: Vec<_> = spans.iter().filter(|span| span.status == StatusCode::Error).collect();
    let [call] = marked.as_slice() else { panic!("not one span is marked:\n{}", tree::draw(&spans)) };
    assert_eq!((call.name.as_str(), call.service()), ("loms.Loms/CreateOrder", "checkout"));
    assert_eq!(*call.attribute("error.type"), refused);
    for span in spans.iter().filter(|span| span.name.contains("/Purchase") || span.name.contains("/CreateOrder")) {
        assert_eq!(*span.attribute("rpc.response.status_code"), refused, "{}", span.name);
    }
}

pub async fn a_fault_marks_every_call_that_it_fails(world: &TracedWorld) {
    let lost = [("services", "loms", "https://localhost:1")];
    let lost = world.replica(Service::Checkout, &lost).await.unwrap();
    let shopper = Caller::new();
    let request = AddToCartRequest { user: world.shopper(), sku: PLENTY, count: 1 };
    let fault = world.checkout_at(lost.port).unwrap().add_to_cart(shopper.call(request, true)).await.unwrap_err();
    assert_eq!(fault.code(), Code::Unavailable);

    let spans = world.spans(&shopper.trace_id, 2).await;
    for name in ["cart.Cart/AddToCart", "loms.Loms/Stocks"] {
        let span = find_one(&spans, name);
        assert_eq!((span.status, span.attribute("error.type")), (StatusCode::Error, &json!("UNAVAILABLE")), "{name}");
    }
    assert!(lost.stop().await.unwrap().success());
}

/// Makes a purchase, and waits until all services have exported its spans. All earlier spans are then exported, too.
async fn everything_so_far_is_exported(world: &TracedWorld) {
    let (user, marker) = (world.shopper(), Caller::new());
    let mut checkout = world.checkout().unwrap();
    checkout.add_to_cart(AddToCartRequest { user, sku: PLENTY, count: 1 }).await.unwrap();
    checkout.purchase(marker.call(PurchaseRequest { user, ..Default::default() }, true)).await.unwrap();
    eventually("the purchase is exported by all services", || async {
        let spans = world.collector.trace(&marker.trace_id);
        let has = |name| !tree::find_all(&spans, name).is_empty();
        (has("cart.Cart/Purchase") && has("loms.Loms/CreateOrder") && has("deliver message")).then_some(())
    })
    .await;
}
