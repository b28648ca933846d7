//! Deadlines, limits, panics and metrics of calls.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use http_body::Body as _;
use platform::{deadline, grpc::status::INTERNAL_TEXT};
use proto::cart::{AddToCartRequest, ListCartRequest, PurchaseRequest, PurchaseResponse};
use stack::testing::eventually;
use tonic::{Code, Request};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::ServiceExt as _;

use crate::world::{ANSWERED, OVERTAKEN, PANICS, WAITS, World, metrics_show, purchase};

#[tokio::test]
async fn a_panicking_handler_is_an_internal_error_and_the_next_call_is_answered() {
    let mut client = World::start().await.client();
    let status = client.purchase(purchase(PANICS)).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Internal, INTERNAL_TEXT));
    assert_eq!(client.purchase(purchase(ANSWERED)).await.unwrap().into_inner().order_id, ANSWERED);
}

#[tokio::test]
async fn a_call_is_cut_off_at_the_deadline_of_its_caller() {
    let world = World::start_with(|config| config.default_deadline = Duration::from_secs(3600)).await;
    let mut request = Request::new(purchase(WAITS));
    request.set_timeout(Duration::from_millis(100));
    let status = world.client().purchase(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_call_without_a_deadline_gets_the_default_one() {
    let world = World::start_with(|config| config.default_deadline = Duration::from_millis(100)).await;
    // The default of the client is five seconds, so the server ends this call.
    let status = world.client().purchase(purchase(WAITS)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn the_deadline_of_a_call_is_passed_on_to_the_calls_it_makes() {
    let world = World::start().await;
    let soon = Instant::now() + Duration::from_millis(1500);
    let answer = deadline::scope(soon, world.client().list_cart(ListCartRequest { user: 1 })).await.unwrap();
    let seen = answer.into_inner().items[0].price;
    assert!((1..=1500).contains(&seen), "the callee saw {seen} ms");
}

#[tokio::test]
async fn load_above_the_limit_is_refused_at_once_and_probes_still_answer() {
    let world = World::start_with(|config| config.max_concurrent_requests = 2).await;
    let running: Vec<_> = (0..2)
        .map(|_| {
            tokio::spawn({
                let mut client = world.client();
                async move { client.purchase(purchase(WAITS)).await }
            })
        })
        .collect();
    eventually("both calls run", || async { (world.script.waiting.load(Ordering::SeqCst) == 2).then_some(()) }).await;

    let status = world.client().purchase(purchase(ANSWERED)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let mut probe = tonic_health::pb::health_client::HealthClient::new(strangers_channel(&world).await);
    probe.check(tonic_health::pb::HealthCheckRequest { service: String::new() }).await.unwrap();

    world.script.go_on.cancel();
    for call in running {
        assert_eq!(call.await.unwrap().unwrap().into_inner().order_id, WAITS);
    }
    assert!(world.client().purchase(purchase(ANSWERED)).await.is_ok());
}

#[tokio::test]
async fn calls_that_begin_something_leave_half_of_the_places_to_those_that_end_it() {
    let world = World::start_with(|config| config.max_concurrent_requests = 4).await;
    let add = |user| AddToCartRequest { user, sku: 1, count: 1 };
    let running: Vec<_> = (0..2)
        .map(|_| {
            let mut client = world.client();
            tokio::spawn(async move { client.add_to_cart(add(WAITS)).await })
        })
        .collect();
    eventually("both calls run", || async { (world.script.waiting.load(Ordering::SeqCst) == 2).then_some(()) }).await;

    let status = world.client().add_to_cart(add(ANSWERED)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(world.client().purchase(purchase(ANSWERED)).await.is_ok());

    world.script.go_on.cancel();
    for call in running {
        call.await.unwrap().unwrap();
    }
    world.client().add_to_cart(add(ANSWERED)).await.unwrap();
}

/// The channel of a client that is not of the fleet.
async fn strangers_channel(world: &World) -> tonic::transport::Channel {
    let tls = tonic::transport::ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(world.authority.pem()));
    let endpoint = tonic::transport::Endpoint::from_shared(format!("https://localhost:{}", world.port)).unwrap();
    endpoint.tls_config(tls).unwrap().connect().await.unwrap()
}

#[tokio::test]
async fn the_answer_to_an_unknown_method_is_over_with_its_headers() {
    let world = World::start().await;
    for path in ["/cart.Cart/Nope", "/nope.Nope/Nope"] {
        let request = http::Request::post(format!("https://localhost:{}{path}", world.port));
        let request = request.header("content-type", "application/grpc").body(tonic::body::Body::empty()).unwrap();
        let answer = strangers_channel(&world).await.oneshot(request).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "12", "{path}");
        // Clients in Python take a frame after these headers for a fault.
        assert!(answer.body().is_end_stream(), "{path}");
    }
}

/// A purchase whose key need not be a text.
#[derive(Clone, PartialEq, prost::Message)]
struct NotUtf8 {
    #[prost(int64, tag = "1")]
    user: i64,
    #[prost(bytes = "vec", tag = "2")]
    idempotency_key: Vec<u8>,
}

#[tokio::test]
async fn a_request_that_is_too_large_or_no_protobuf_is_refused_as_such() {
    let world = World::start().await;
    let mut client = world.client();
    let mut huge = purchase(ANSWERED);
    huge.idempotency_key = "k".repeat(8 * 1024 * 1024);
    assert_eq!(client.purchase(huge).await.unwrap_err().code(), Code::ResourceExhausted);
    let large = PurchaseRequest { idempotency_key: "k".repeat(96 * 1024), ..purchase(ANSWERED) };
    assert_eq!(client.purchase(large).await.unwrap_err().code(), Code::ResourceExhausted);
    let url = format!("https://localhost:{}", world.port);
    let mut raw = tonic::client::Grpc::new(world.channel(&url, &world.certs.path().join("ca.pem"), None));
    raw.ready().await.unwrap();
    let no_utf8 = NotUtf8 { user: ANSWERED, idempotency_key: vec![0xff] };
    let codec = tonic_prost::ProstCodec::<NotUtf8, PurchaseResponse>::default();
    let path = "/cart.Cart/Purchase".parse().unwrap();
    let status = raw.unary(Request::new(no_utf8), path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(client.purchase(purchase(ANSWERED)).await.is_ok());
}

#[tokio::test]
async fn known_methods_and_codes_are_at_zero_before_the_first_call_and_counted_after_it() {
    let world = World::start().await;
    let shows = |sample: &str| assert!(metrics_show(sample), "{sample}");
    shows(
        r#"grpc_server_handled_total{grpc_code="DataLoss",grpc_method="Purchase",grpc_service="cart.Cart",grpc_type="unary"} 0"#,
    );
    // Other tests call Purchase at the same time, but no other test calls DeleteFromCart.
    let request = proto::cart::DeleteFromCartRequest { user: 1, sku: 1, count: 1 };
    world.client().delete_from_cart(request).await.unwrap();
    const LABELS: &str = r#"grpc_method="DeleteFromCart",grpc_service="cart.Cart",grpc_type="unary""#;
    shows(&format!("grpc_server_started_total{{{LABELS}}} 1"));
    shows(&format!("grpc_server_msg_received_total{{{LABELS}}} 1"));
    shows(&format!("grpc_server_msg_sent_total{{{LABELS}}} 1"));
    shows(&format!("grpc_server_handling_seconds_count{{{LABELS}}} 1"));
    shows(&format!("grpc_server_handled_total{{grpc_code=\"OK\",{LABELS}}} 1"));
}

#[tokio::test]
async fn a_call_that_is_given_up_is_counted_at_both_ends() {
    let world = World::start().await;
    let mut client = world.client();
    // No other test calls AddToCart.
    let request = AddToCartRequest { user: WAITS, sku: 1, count: 1 };
    let call = tokio::spawn(async move { client.add_to_cart(request).await });
    eventually("the call runs", || async { (world.script.waiting.load(Ordering::SeqCst) == 1).then_some(()) }).await;
    call.abort();
    const LABELS: &str = r#"grpc_code="Canceled",grpc_method="AddToCart",grpc_service="cart.Cart",grpc_type="unary""#;
    for end in ["client", "server"] {
        let sample = format!("grpc_{end}_handled_total{{{LABELS}}} 1");
        eventually(&sample, || async { metrics_show(&sample).then_some(()) }).await;
    }
}

#[tokio::test]
async fn what_a_caller_alone_brings_about_is_told_apart_from_faults_of_the_service() {
    let world = World::start().await;
    let url = format!("https://localhost:{}", world.port);
    let mut raw = tonic::client::Grpc::new(world.channel(&url, &world.certs.path().join("ca.pem"), None));
    let mut call = async |request: Request<NotUtf8>| {
        raw.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<NotUtf8, PurchaseResponse>::default();
        // No other test is refused by AddToCart.
        let path = "/cart.Cart/AddToCart".parse().unwrap();
        raw.unary(request, path, codec).await.unwrap_err().code()
    };
    let request = |user, bytes| Request::new(NotUtf8 { user, idempotency_key: vec![b'k'; bytes] });
    assert_eq!(call(request(ANSWERED, 96 * 1024)).await, Code::ResourceExhausted);
    let mut compressed = request(ANSWERED, 1);
    compressed.metadata_mut().insert("grpc-encoding", "deflate".parse().unwrap());
    assert_eq!(call(compressed).await, Code::Unimplemented);
    for user in [WAITS, OVERTAKEN] {
        let mut hasty = Request::new(NotUtf8 { user, idempotency_key: Vec::new() });
        hasty.set_timeout(Duration::from_millis(50));
        assert_eq!(call(hasty).await, Code::DeadlineExceeded);
    }
    for (code, times) in [("ResourceExhausted", 1), ("Unimplemented", 1), ("DeadlineExceeded", 2)] {
        let labels =
            format!("grpc_code=\"{code}\",grpc_method=\"AddToCart\",grpc_service=\"cart.Cart\",grpc_type=\"unary\"");
        let sample = format!("grpc_server_callers_faults_total{{{labels}}} {times}");
        eventually(&sample, || async { metrics_show(&sample).then_some(()) }).await;
    }
}

#[tokio::test]
async fn health_is_told_to_clients_that_compress_everything() {
    let world = World::start().await;
    let gzip = tonic::codec::CompressionEncoding::Gzip;
    let mut health = HealthClient::new(strangers_channel(&world).await).send_compressed(gzip).accept_compressed(gzip);
    assert!(health.check(HealthCheckRequest::default()).await.is_ok());
}
