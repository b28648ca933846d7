//! The stand-in for an OpenTelemetry collector.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::Link},
};
use serde_json::json;
use stack::{
    collector::{Collector, SpanKind, StatusCode},
    ports,
};
use tonic::{Code, transport::Channel};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

/// A request with one span of the trace.
fn request(name: &str) -> ExportTraceServiceRequest {
    let trace_id = u128::from_str_radix(TRACE, 16).unwrap().to_be_bytes().to_vec();
    let span = Span {
        trace_id: trace_id.clone(),
        span_id: vec![0, 0, 0, 0, 0, 0, 0, 0xab],
        parent_span_id: vec![1; 8],
        name: name.into(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: 1,
        end_time_unix_nano: 2,
        attributes: vec![attribute("rpc.response.status_code", Value::StringValue("INTERNAL".into()))],
        links: vec![Link { trace_id, span_id: vec![2; 8], ..Default::default() }],
        status: Some(Status { message: "it broke".into(), code: StatusCode::Error.into() }),
        ..Default::default()
    };
    let attributes = vec![attribute("service.name", Value::StringValue("loms".into()))];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes, ..Default::default() }),
            scope_spans: vec![ScopeSpans { spans: vec![span], ..Default::default() }],
            ..Default::default()
        }],
    }
}

async fn client(collector: &Collector) -> TraceServiceClient<Channel> {
    TraceServiceClient::connect(collector.url()).await.unwrap()
}

#[tokio::test]
async fn received_spans_are_found_by_their_trace() {
    let collector = Collector::start(ports::loopback(0)).unwrap();
    client(&collector).await.export(request("cart.Cart/Purchase")).await.unwrap();

    let spans = collector.trace(TRACE);
    let [span] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!((span.name.as_str(), span.kind, span.service()), ("cart.Cart/Purchase", SpanKind::Server, "loms"));
    assert_eq!((span.span_id.as_str(), span.parent.as_deref()), ("00000000000000ab", Some("0101010101010101")));
    assert_eq!((span.status, span.status_message.as_str()), (StatusCode::Error, "it broke"));
    assert_eq!(span.attribute("rpc.response.status_code"), &json!("INTERNAL"));
    assert_eq!(span.links[0].span_id, "0202020202020202");
    assert!(collector.trace("00000000000000000000000000000001").is_empty());
}

#[tokio::test]
async fn while_it_stalls_a_call_is_taken_and_never_answered() {
    let collector = Collector::start(ports::loopback(0)).unwrap();
    collector.stall();
    let mut client = client(&collector).await;
    let mut lost = tonic::Request::new(request("lost"));
    lost.set_timeout(Duration::from_millis(200));
    let code = client.export(lost).await.unwrap_err().code();
    assert!(matches!(code, Code::Cancelled | Code::DeadlineExceeded), "{code:?}");
    assert_eq!((collector.calls().len(), collector.spans().len()), (1, 0));

    collector.answer();
    client.export(request("kept")).await.unwrap();
    assert_eq!(collector.spans()[0].name, "kept");
}

#[tokio::test]
async fn it_goes_away_and_comes_back_on_the_same_port_with_what_it_had() {
    let mut collector = Collector::start(ports::loopback(0)).unwrap();
    let url = collector.url();
    client(&collector).await.export(request("before")).await.unwrap();
    collector.go_away();
    let unreachable = async || TraceServiceClient::connect(url.clone()).await.is_err().then_some(());
    stack::testing::eventually("nobody listens", unreachable).await;

    collector.come_back().await.unwrap();
    client(&collector).await.export(request("after")).await.unwrap();
    let names: Vec<_> = collector.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["before", "after"]);
}
