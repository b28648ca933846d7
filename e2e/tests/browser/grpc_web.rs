//! The client of gRPC-Web, in a browser: from a page of the service itself, and from one of another origin.

use std::{env, fs, path::Path};

use e2e::World;
use prost::Message;
use proto::cart::{AddToCartRequest, ListCartRequest, ListCartResponse};
use reqwest::header::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use stack::{
    fleet::{Replica, Service},
    testing::eventually,
};
use thirtyfour::prelude::*;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::chromium::Chromium;

/// The folder of the npm package `grpc-web`.
const CLIENT: &str = "GRPC_WEB";
/// A SKU with more units than the test needs.
const PLENTY: u32 = 1212;

/// Calls with bytes, and returns bytes or the error. What a generated client adds is only the reading and writing of
/// messages.
const CALL: &str = "
    const [host, path, format, request, done] = arguments;
    const client = new exports.GrpcWebClientBase({ format });
    const method = new exports.MethodDescriptor(
        path, exports.MethodType.UNARY, Uint8Array, Uint8Array, bytes => bytes, bytes => Array.from(bytes));
    client.rpcCall(host + path, new Uint8Array(request), {}, method, (error, answer) => done(error
        ? { code: error.code, message: error.message, metadata: error.metadata }
        : { answer }));";

struct Client<'browser> {
    driver: &'browser WebDriver,
    /// Defines `exports`.
    package: String,
    host: String,
}

impl Client<'_> {
    async fn call<Answer: Message + Default>(
        &self,
        method: &str,
        format: &str,
        request: &impl Message,
    ) -> Result<Answer, Status> {
        let path = format!("/cart.Cart/{method}");
        let arguments = vec![json!(self.host), json!(path), json!(format), json!(request.encode_to_vec())];
        let script = format!("const exports = {{}};\n{}\n{CALL}", self.package);
        let done = self.driver.execute_async(script, arguments).await.unwrap().json().clone();
        if let Some(answer) = done["answer"].as_array() {
            let bytes: Vec<u8> = answer.iter().map(|byte| u8::try_from(byte.as_u64().unwrap()).unwrap()).collect();
            return Ok(Answer::decode(bytes.as_slice()).unwrap());
        }
        Err(status(&done))
    }
}

/// The error of the client, with the details among its metadata.
fn status(error: &Value) -> Status {
    let mut headers = HeaderMap::new();
    for (name, value) in error["metadata"].as_object().into_iter().flatten() {
        headers.insert(name.parse::<HeaderName>().unwrap(), value.as_str().unwrap().parse().unwrap());
    }
    headers.insert("grpc-status", error["code"].to_string().parse().unwrap());
    let mut status = Status::from_header_map(&headers).unwrap();
    if status.message().is_empty() {
        let message = error["message"].as_str().unwrap_or_default();
        status = Status::with_details(status.code(), message, status.details().to_vec().into());
    }
    status
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium and the npm package grpc-web: make test-browser"]
async fn a_client_of_grpc_web_fills_and_shows_a_cart_and_reads_why_it_is_refused() {
    let folder = env::var(CLIENT).expect("the folder of the client");
    let package = fs::read_to_string(Path::new(&folder).join("index.js")).unwrap();
    let world = World::start().await.unwrap();
    let chromium = Chromium::start().await;
    let driver = &chromium.driver;
    let own = world.addresses.checkout.http_url();
    let replica = Replica::start_with(Service::Checkout, &world.addresses, |config| {
        config["http"]["cors"]["allowed_origins"] = vec![own.clone()].into();
    });
    let replica = replica.unwrap();
    eventually("the replica is ready", async || replica.is_ready().await.then_some(())).await;
    let other = format!("https://localhost:{}", replica.http.port());

    // From the service's own port, and from there to another one, which allows it.
    driver.goto(format!("{own}/openapi.json")).await.unwrap();
    for (host, format) in [(&own, "text"), (&own, "binary"), (&other, "text"), (&other, "binary")] {
        let client = Client { driver, package: package.clone(), host: host.clone() };
        let user = world.shopper();
        client.call::<()>("AddToCart", format, &AddToCartRequest { user, sku: PLENTY, count: 2 }).await.unwrap();
        let cart: ListCartResponse = client.call("ListCart", format, &ListCartRequest { user }).await.unwrap();
        let lines: Vec<_> = cart.items.iter().map(|item| (item.sku, item.count)).collect();
        assert_eq!(lines, [(PLENTY, 2)], "{host} {format}");

        let too_many = AddToCartRequest { user, sku: PLENTY, count: 65_535 };
        let refused = client.call::<()>("AddToCart", format, &too_many).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{host} {format}: {refused:?}");
        assert!(refused.message().contains("65535"), "{host} {format}: {refused:?}");
        let info = refused.get_details_error_info().expect("details");
        assert_eq!((info.reason.as_str(), info.metadata["limit"].as_str()), ("CART_LIMIT", "65535"));
    }

    // Nobody allows pages of the replica.
    driver.goto(format!("{other}/openapi.json")).await.unwrap();
    let client = Client { driver, package, host: own };
    let refused = client.call::<ListCartResponse>("ListCart", "text", &ListCartRequest { user: 1 }).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unknown, "{refused:?}");
    let complaints = chromium.complaints().await;
    assert!(complaints.iter().any(|complaint| complaint.contains("CORS policy")), "{complaints:#?}");
    replica.stop().await;
    chromium.stop().await;
    world.stop().await;
}
