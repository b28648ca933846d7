//! The calls over HTTP/JSON, as a client makes them who knows nothing of gRPC.

use std::time::Duration;

use e2e::{
    World,
    log::{lines_with, until_logged},
    metrics::Exposition,
};
use proto::{
    cart::{AddToCartRequest, DeleteFromCartRequest, ListCartRequest, PurchaseRequest, cart_client::CartClient},
    loms::{
        CreateOrderRequest, ListOrderRequest, ListOrdersRequest, OrderItem, OrderPayedRequest, loms_client::LomsClient,
    },
    notifications::{Date, GetHistoryWithPeriodRequest, notifications_client::NotificationsClient},
};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use stack::{certs, fleet::Service, testing::eventually};
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::doors::channel_to;

/// A SKU with more units than the tests need.
const PLENTY: u32 = 1212;
const LONGEST: Duration = Duration::from_secs(30);

/// What a call is answered with.
struct Answer {
    http: StatusCode,
    body: Value,
    trace_id: String,
}

/// A client of all services that shows the development client's certificate.
fn client(world: &World) -> Client {
    let certs = &world.addresses.certs;
    let client = certs::http_client(certs).unwrap().identity(certs::http_identity(certs).unwrap());
    client.no_proxy().timeout(LONGEST).build().unwrap()
}

async fn call(client: &Client, url: &str, request: &Value) -> Answer {
    call_with_key(client, url, request, None).await
}

async fn call_with_key(client: &Client, url: &str, request: &Value, key: Option<&str>) -> Answer {
    let mut call = client.post(url).json(request);
    if let Some(key) = key {
        call = call.header("Idempotency-Key", key);
    }
    let answer = call.send().await.unwrap();
    let trace_id = answer.headers()["x-trace-id"].to_str().unwrap().to_owned();
    let http = answer.status();
    Answer { http, trace_id, body: answer.json().await.unwrap() }
}

/// The body of an answer; panics unless all is well.
async fn answered(client: &Client, url: &str, request: &Value) -> Value {
    let Answer { http, body, .. } = call(client, url, request).await;
    assert_eq!(http, StatusCode::OK, "{url} {request}: {body}");
    body
}

/// The places of the three services.
fn urls(world: &World) -> [String; 3] {
    let own = &world.addresses;
    [&own.checkout, &own.loms, &own.notifications].map(|service| service.http_url())
}

pub async fn a_purchase_over_http_alone_ends_with_three_messages(world: &World) {
    let (client, [checkout, loms, notifications], user) = (client(world), urls(world), world.shopper());
    let add = json!({"user": user, "sku": PLENTY, "count": 2});
    assert_eq!(answered(&client, &format!("{checkout}/addToCart"), &add).await, json!({}));
    let cart = answered(&client, &format!("{checkout}/listCart"), &json!({"user": user})).await;
    assert_eq!((&cart["items"][0]["sku"], &cart["items"][0]["count"]), (&json!(PLENTY), &json!(2)), "{cart}");
    let total = cart["items"][0]["price"].as_u64().unwrap() * 2;
    assert_eq!(cart["totalPrice"], json!(total), "a number: {cart}");

    let bought = answered(&client, &format!("{checkout}/purchase"), &json!({"user": user})).await;
    let order = json!({"orderID": bought["orderID"].as_str().expect("a text")});
    let shown = answered(&client, &format!("{loms}/listOrder"), &order).await;
    assert_eq!((&shown["status"], &shown["user"]), (&json!("awaiting payment"), &json!(user.to_string())), "{shown}");
    assert_eq!(answered(&client, &format!("{loms}/orderPayed"), &order).await, json!({}));
    let listed = answered(&client, &format!("{loms}/listOrders"), &json!({"user": user})).await;
    assert_eq!((&listed["orders"][0]["orderID"], &listed["orders"][0]["status"]), (&order["orderID"], &json!("paid")));

    // From a day long ago, because a test may run over midnight.
    let (from, to) = (json!({"year": 2020, "month": 1, "day": 1}), json!({"year": 2120, "month": 1, "day": 1}));
    let (client, history) = (&client, format!("{notifications}/history"));
    let period = json!({"user": user, "from": from, "to": to});
    let messages = eventually("three messages are in the history", || async {
        let messages = answered(client, &history, &period).await["messages"].as_array().unwrap().clone();
        (messages.len() == 3).then_some(messages)
    })
    .await;
    let statuses: Vec<_> = messages.iter().map(|message| message["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["new", "awaiting payment", "paid"]);
    assert!(messages.iter().all(|message| message["order_id"] == order["orderID"]), "{messages:?}");
}

pub async fn a_key_in_the_header_makes_a_repetition_answer_the_same_order(world: &World) {
    let (client, [checkout, loms, _], user) = (client(world), urls(world), world.shopper());
    answered(&client, &format!("{checkout}/addToCart"), &json!({"user": user, "sku": PLENTY, "count": 1})).await;
    let purchase = format!("{checkout}/purchase");
    let create = format!("{loms}/createOrder");
    let order = json!({"user": user, "items": [{"sku": PLENTY, "count": 1}]});
    for (url, request) in [(&purchase, &json!({"user": user})), (&create, &order)] {
        let mut orders = Vec::new();
        for _ in 0..2 {
            let Answer { http, body, .. } = call_with_key(&client, url, request, Some("the first")).await;
            assert_eq!(http, StatusCode::OK, "{url}: {body}");
            orders.push(body["orderID"].clone());
        }
        assert!(orders[0].is_string() && orders[0] == orders[1], "{url}: {orders:?}");
        let mut contradiction = request.clone();
        contradiction["idempotency_key"] = json!("the second");
        let Answer { http, body, .. } = call_with_key(&client, url, &contradiction, Some("the first")).await;
        assert_eq!((http, &body["code"]), (StatusCode::BAD_REQUEST, &json!(3)), "{url}: {body}");
    }
    let Answer { body, .. } = call_with_key(&client, &purchase, &json!({"user": user}), Some("the second")).await;
    assert_eq!(body["details"][0]["reason"], "CART_EMPTY", "another key is another purchase: {body}");
}

/// What is refused by both doors, and the status of HTTP.
async fn refusals(world: &World) -> Vec<(String, Value, StatusCode, Status)> {
    let own = &world.addresses;
    let (mut cart, mut loms, mut notifications) = (
        CartClient::new(channel_to(world, own.checkout.grpc.port())),
        LomsClient::new(channel_to(world, own.loms.grpc.port())),
        NotificationsClient::new(channel_to(world, own.notifications.grpc.port())),
    );
    let [checkout_url, loms_url, notifications_url] = urls(world);
    let user = world.shopper();
    let items = vec![OrderItem { sku: PLENTY, count: 1 }];
    let create = CreateOrderRequest { user, items, idempotency_key: "known".into() };
    let order_id = loms.create_order(create.clone()).await.unwrap().into_inner().order_id;
    loms.cancel_order(proto::loms::CancelOrderRequest { order_id }).await.unwrap();

    let (bad, not_found) = (StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND);
    let other_items = vec![OrderItem { sku: PLENTY, count: 2 }];
    let date = |day| Some(Date { year: 2026, month: 2, day });
    let by_grpc = [
        (
            format!("{checkout_url}/addToCart"),
            json!({"user": -1, "sku": 0, "count": 70000}),
            bad,
            cart.add_to_cart(AddToCartRequest { user: -1, sku: 0, count: 70000 }).await.map(|_| ()),
        ),
        (
            format!("{checkout_url}/addToCart"),
            json!({"user": user, "sku": 999_999, "count": 3}),
            bad,
            cart.add_to_cart(AddToCartRequest { user, sku: 999_999, count: 3 }).await.map(|_| ()),
        ),
        (
            format!("{checkout_url}/deleteFromCart"),
            json!({"user": user, "sku": PLENTY, "count": 1}),
            not_found,
            cart.delete_from_cart(DeleteFromCartRequest { user, sku: PLENTY, count: 1 }).await.map(|_| ()),
        ),
        (
            format!("{checkout_url}/listCartRequest"),
            json!({}),
            bad,
            cart.list_cart(ListCartRequest::default()).await.map(|_| ()),
        ),
        (
            format!("{checkout_url}/purchase"),
            json!({"user": user.to_string()}),
            bad,
            cart.purchase(PurchaseRequest { user, ..Default::default() }).await.map(|_| ()),
        ),
        (
            format!("{loms_url}/createOrder"),
            json!({"user": user, "items": [{"sku": PLENTY, "count": 2}], "idempotency_key": "known"}),
            bad,
            loms.create_order(CreateOrderRequest { items: other_items, ..create }).await.map(|_| ()),
        ),
        (
            format!("{loms_url}/listOrder"),
            json!({"orderID": i64::MAX.to_string()}),
            not_found,
            loms.list_order(ListOrderRequest { order_id: i64::MAX }).await.map(|_| ()),
        ),
        (
            format!("{loms_url}/listOrders"),
            json!({"user": user, "page_token": "no token"}),
            bad,
            loms.list_orders(ListOrdersRequest { user, page_size: 0, page_token: "no token".into() }).await.map(|_| ()),
        ),
        (
            format!("{loms_url}/orderPayed"),
            json!({"orderID": order_id}),
            bad,
            loms.order_payed(OrderPayedRequest { order_id }).await.map(|_| ()),
        ),
        (
            format!("{notifications_url}/history"),
            json!({"user": user, "from": {"year": 2026, "month": 2, "day": 30}, "to": {"year": 2026, "month": 2, "day": 1}}),
            bad,
            notifications
                .get_history_with_period(GetHistoryWithPeriodRequest {
                    user,
                    from: date(30),
                    to: date(1),
                    ..Default::default()
                })
                .await
                .map(|_| ()),
        ),
    ];
    let refused = by_grpc.into_iter().map(|(url, request, http, answer)| {
        let status = answer.expect_err(&url);
        (url, request, http, status)
    });
    refused.collect()
}

/// The details of a status of gRPC as they are told over HTTP.
fn details(status: &Status) -> Vec<Value> {
    let details = status.get_error_details();
    let info = details.error_info().map(|info| {
        json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": info.reason, "domain": info.domain, "metadata": info.metadata,
        })
    });
    let request = details.bad_request().map(|request| {
        let violations = request.field_violations.iter();
        let violations =
            violations.map(|violation| json!({"field": violation.field, "description": violation.description}));
        json!({
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "field_violations": violations.collect::<Vec<_>>(),
        })
    });
    info.into_iter().chain(request).collect()
}

pub async fn a_refusal_is_the_same_at_both_doors(world: &World) {
    let client = client(world);
    for (url, request, expected, status) in refusals(world).await {
        let Answer { http, body, .. } = call(&client, &url, &request).await;
        assert_eq!(http, expected, "{url} {request}: {body}");
        let details = details(&status);
        assert_eq!(details.len(), 1, "{url} {request}: {status:?}");
        let by_grpc = json!({"code": status.code() as i32, "message": status.message(), "details": details});
        assert_eq!(body, by_grpc, "{url} {request}");
    }
}

pub async fn a_call_over_http_is_counted_and_logged_once(world: &World) {
    let replica = world.replica(Service::Loms, &[]).await.unwrap();
    let url = format!("https://localhost:{}/listOrder", replica.http.port());
    let answer = call(&client(world), &url, &json!({"orderID": i64::MAX})).await;
    assert_eq!(answer.http, StatusCode::NOT_FOUND, "{}", answer.body);

    let metrics = Exposition::fetch(replica.admin).await.unwrap();
    let of_method = r#"grpc_service="loms.Loms",grpc_method="ListOrder",grpc_code="NotFound""#;
    for (metric, count) in [
        (format!("grpc_server_handled_total{{{of_method}}}"), 1.0),
        (format!(r#"grpc_server_handled_by_protocol_total{{protocol="json",{of_method}}}"#), 1.0),
        (format!(r#"grpc_server_handled_by_protocol_total{{protocol="grpc",{of_method}}}"#), 0.0),
    ] {
        assert_eq!(metrics.sum(&metric).unwrap_or_default(), count, "{metric}\n{}", metrics.text);
    }
    until_logged(&replica.log, &[&answer.trace_id, "call answered"]).await;
    let lines = lines_with(&replica.log, &[&answer.trace_id, "call answered"]);
    let [line] = &lines[..] else { panic!("one line is expected: {lines:?}") };
    let line: Value = serde_json::from_str(line).unwrap();
    let expected = [("rpc.protocol", "json"), ("rpc.method", "loms.Loms/ListOrder"), ("trace_id", &answer.trace_id)];
    for (field, value) in expected {
        assert_eq!(line[field], value, "{line}");
    }
    replica.stop().await;
}

pub async fn strangers_are_refused_over_http_where_a_certificate_is_demanded(world: &World) {
    let [checkout, loms, notifications] = urls(world);
    let stranger = certs::http_client(&world.addresses.certs).unwrap().no_proxy().timeout(LONGEST).build().unwrap();
    let known = client(world);
    for url in [format!("{loms}/stocks"), format!("{notifications}/history"), format!("{loms}/openapi.json")] {
        let refused = stranger.post(&url).json(&json!({"sku": 1})).send().await;
        assert!(refused.as_ref().is_err_and(|error| !error.is_timeout()), "{url}: {refused:?}");
        assert!(known.post(&url).json(&json!({"sku": 1})).send().await.is_ok(), "{url}");
    }
    let user = json!({"user": world.shopper()});
    assert_eq!(answered(&stranger, &format!("{checkout}/listCart"), &user).await["items"], json!([]));
}
