//! One trace follows a purchase through the whole fleet. Later work has a trace of its own, with a link to the first.

use std::time::Duration;

use proto::{
    cart::{AddToCartRequest, PurchaseRequest},
    loms::{CreateOrderRequest, OrderItem, OrderPayedRequest},
};
use serde_json::{Value, json};
use stack::testing::eventually;
use stack::{
    collector::{Span, SpanKind},
    fleet::Service,
};
use tonic::Code;

use crate::{
    shapes::{EXPIRY, HELD_ORDER, PAYMENT, PURCHASE, RESUMPTION},
    tree::{self, find_all, find_one},
    world::{Caller, TracedWorld, trace_id},
};

/// SKUs that no other test buys: who holds their stock would be waited for, and be seen in the trace.
const BOUGHT: u32 = 1308;
const UNPAID: u32 = 1310;
const DOUBTFUL: u32 = 1311;

pub async fn a_purchase_is_one_trace_from_the_click_to_the_message(world: &TracedWorld) {
    let user = world.shopper();
    let mut checkout = world.checkout().unwrap();
    checkout.add_to_cart(AddToCartRequest { user, sku: BOUGHT, count: 1 }).await.unwrap();
    let (shopper, bank) = (Caller::new(), Caller::new());
    let answer = checkout.purchase(shopper.call(PurchaseRequest { user, ..Default::default() }, true)).await.unwrap();
    assert_eq!(trace_id(&answer), shopper.trace_id);
    let order_id = answer.into_inner().order_id;
    let answer = world.loms().unwrap().order_payed(bank.call(OrderPayedRequest { order_id }, true)).await.unwrap();
    assert_eq!(trace_id(&answer), bank.trace_id);

    // The message about the payment is the last one, so the spans of the purchase are then complete.
    let payment = world.spans(&bank.trace_id, PAYMENT.lines().count()).await;
    assert_eq!(tree::draw(&payment), PAYMENT);
    let purchase = world.spans(&shopper.trace_id, PURCHASE.lines().count()).await;
    assert_eq!(tree::draw(&purchase), PURCHASE);
    for (span, caller) in [(&purchase[0], &shopper), (&payment[0], &bank)] {
        assert_eq!(span.parent.as_ref(), Some(&caller.span_id));
    }
    calls_say_who_called_whom(&purchase, world);
    statements_say_what_was_asked_of_which_database(&purchase, world);
    events_say_where_they_went(&purchase, &order_id.to_string());
    every_message_is_a_request_without_the_token(&purchase, world);
    what_background_steps_did_for_it_is_linked_to_them(&purchase, world).await;
}

fn calls_say_who_called_whom(purchase: &[Span], world: &TracedWorld) {
    let click = find_one(purchase, "cart.Cart/Purchase");
    has(click, [("rpc.system.name", json!("grpc")), ("rpc.method", json!("cart.Cart/Purchase"))]);
    has(click, [("rpc.response.status_code", json!("OK")), ("client.address", json!("127.0.0.1"))]);
    assert!(click.attribute("client.port").is_i64(), "{click:?}");

    let calls = find_all(purchase, "loms.Loms/CreateOrder");
    let [call, answer] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!((call.kind, answer.kind), (SpanKind::Client, SpanKind::Server));
    for span in [call, answer] {
        has(span, [("rpc.system.name", json!("grpc")), ("rpc.method", json!("loms.Loms/CreateOrder"))]);
        has(span, [("rpc.response.status_code", json!("OK")), ("error.type", Value::Null)]);
    }
    has(call, [("server.address", json!("localhost")), ("server.port", json!(world.addresses.loms.grpc.port()))]);
}

fn statements_say_what_was_asked_of_which_database(purchase: &[Span], world: &TracedWorld) {
    for name in ["transaction change_orders", "find_orders"] {
        let span = find_one(purchase, name);
        has(span, [("db.system.name", json!("postgresql")), ("db.namespace", json!("loms"))]);
        has(span, [("server.address", json!("127.0.0.1")), ("server.port", json!(world.addresses.postgres.port()))]);
    }
    has(find_one(purchase, "transaction change_orders"), [("db.query.summary", json!("change_orders"))]);
    let statement = find_one(purchase, "find_orders");
    has(statement, [("db.query.summary", json!("find_orders")), ("db.response.status_code", Value::Null)]);
    let text = statement.attribute("db.query.text").as_str().unwrap();
    assert!(text.starts_with("/* find_orders */"), "{text}");
}

fn events_say_where_they_went(purchase: &[Span], order: &str) {
    let (sent, processed) = (find_all(purchase, "send orders"), find_all(purchase, "process orders"));
    for (offset, (sent, processed)) in sent.iter().zip(&processed).enumerate() {
        for (span, operation) in [(sent, "send"), (processed, "process")] {
            has(span, [("messaging.system", json!("kafka")), ("messaging.destination.name", json!("orders"))]);
            has(span, [("messaging.operation.type", json!(operation)), ("messaging.operation.name", json!(operation))]);
            has(span, [("messaging.kafka.message.key", json!(order))]);
            assert!(span.attribute("messaging.destination.partition.id").is_string(), "{span:?}");
            assert!(span.attribute("messaging.kafka.offset").as_i64().unwrap() >= offset as i64, "{span:?}");
        }
        has(processed, [("messaging.consumer.group.name", json!("notifications"))]);
        for same in ["messaging.message.id", "messaging.destination.partition.id", "messaging.kafka.offset"] {
            assert_eq!(sent.attribute(same), processed.attribute(same), "{same}");
        }
    }
}

fn every_message_is_a_request_without_the_token(purchase: &[Span], world: &TracedWorld) {
    for request in find_all(purchase, "POST /bot{api_key}/sendMessage") {
        has(request, [("http.request.method", json!("POST")), ("http.response.status_code", json!(200))]);
        let telegram = world.addresses.telegram;
        let shown = format!("http://{telegram}/botREDACTED/sendMessage");
        has(request, [("url.template", json!("/bot{api_key}/sendMessage")), ("url.full", json!(shown))]);
        has(request, [("server.address", json!(telegram.ip())), ("server.port", json!(telegram.port()))]);
    }
    for span in purchase {
        let shown = serde_json::to_string(&span.attributes).unwrap();
        assert!(!shown.contains("/botlocal") && !shown.contains("postgres://"), "{shown}");
    }
}

async fn what_background_steps_did_for_it_is_linked_to_them(purchase: &[Span], world: &TracedWorld) {
    for (name, step) in [("send orders", "relay"), ("process orders", "consume"), ("deliver message", "deliver")] {
        for span in find_all(purchase, name) {
            let [link] = span.links.as_slice() else { panic!("{name} has not one link: {:?}", span.links) };
            let trace = world.spans(&link.trace_id, 1).await;
            let linked = trace.iter().find(|other| other.span_id == link.span_id);
            let linked = linked.unwrap_or_else(|| panic!("{name} is linked to nothing:\n{}", tree::draw(&trace)));
            assert_eq!((linked.name.as_str(), linked.service()), (step, span.service()));
            assert_eq!((linked.kind, linked.parent.as_deref()), (SpanKind::Internal, None));
        }
    }
}

pub async fn an_order_that_expires_is_told_in_a_trace_of_its_own_that_leads_to_its_beginning(world: &TracedWorld) {
    let hasty = world.replica(Service::Loms, &[("orders", "payment_timeout", "1s")]).await.unwrap();
    let shopper = Caller::new();
    let items = vec![OrderItem { sku: UNPAID, count: 1 }];
    let request = CreateOrderRequest { user: world.shopper(), items, idempotency_key: String::new() };
    let answer = world.loms_at(hasty.port).unwrap().create_order(shopper.call(request, true)).await.unwrap();
    let order = answer.into_inner().order_id;

    let is_its_end = |span: &Span| span.name == "expire order" && *span.attribute("order.id") == json!(order);
    let end =
        eventually("the order's end is told", || async { world.collector.spans().into_iter().find(is_its_end) }).await;
    let expiry = world.spans(&end.trace_id, EXPIRY.lines().count()).await;
    // The fleet's own LOMS looks for what is due as well.
    let [held, free] = HELD_ORDER;
    assert_eq!(tree::draw(&expiry).replace(held, free), EXPIRY);
    let beginning = world.spans(&shopper.trace_id, 1).await;
    assert!(end.is_linked_to(find_one(&beginning, "loms.Loms/CreateOrder")), "{end:?}");
    assert!(hasty.stop().await.unwrap().success());
}

pub async fn a_purchase_in_doubt_is_finished_in_a_trace_of_its_own_that_leads_to_the_click(world: &TracedWorld) {
    let (user, shopper) = (world.shopper(), Caller::new());
    world.checkout().unwrap().add_to_cart(AddToCartRequest { user, sku: DOUBTFUL, count: 1 }).await.unwrap();
    let lost = [("services", "loms", "https://localhost:1")];
    let lost = world.replica(Service::Checkout, &lost).await.unwrap();
    let mut click = shopper.call(PurchaseRequest { user, ..Default::default() }, true);
    click.set_timeout(Duration::from_secs(1));
    let doubt = world.checkout_at(lost.port).unwrap().purchase(click).await.unwrap_err();
    assert!([Code::Unavailable, Code::DeadlineExceeded].contains(&doubt.code()), "{doubt:?}");
    assert!(lost.stop().await.unwrap().success());

    let clicked = world.spans(&shopper.trace_id, 1).await;
    let click = find_one(&clicked, "cart.Cart/Purchase");
    let is_its_end = |span: &Span| span.name == "resume purchase" && span.is_linked_to(click);
    let end = eventually("it is finished", || async { world.collector.spans().into_iter().find(is_its_end) }).await;
    let resumption = world.spans(&end.trace_id, RESUMPTION.lines().count()).await;
    assert_eq!(tree::draw(&resumption), RESUMPTION);
}

/// Checks attributes of a span. Null means that the span has no such attribute.
fn has<const N: usize>(span: &Span, attributes: [(&str, Value); N]) {
    for (name, value) in attributes {
        assert_eq!(*span.attribute(name), value, "{name} of {}", span.name);
    }
}
