//! What the JSON door has for browsers: the page of the document, gRPC-Web, and CORS.

use std::io::Read as _;

use axum::http::{HeaderMap, Method, header::CONTENT_TYPE};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use flate2::read::GzDecoder;
use platform::{
    config::{
        FromText as _,
        service::{CorsConfig, GrpcConfig, HttpConfig, Origin},
    },
    grpc::server::router,
    json,
    net::Port,
    tls::install_crypto_provider,
};
use prost::Message as _;
use proto::cart::{
    AddToCartRequest, CartGoodInfo, DeleteFromCartRequest, ListCartRequest, ListCartResponse, PurchaseRequest,
    PurchaseResponse,
    cart_server::{Cart, CartServer},
};
use reqwest::Client;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

const SHOP: &str = "https://shop.example";
const DOCUMENT: &str = r#"{"openapi": "3.1.0"}"#;

/// ListCart has one item; every other call is refused.
struct Scripted;

#[tonic::async_trait]
impl Cart for Scripted {
    async fn add_to_cart(&self, _: Request<AddToCartRequest>) -> Result<Response<()>, Status> {
        Err(refusal())
    }

    async fn delete_from_cart(&self, _: Request<DeleteFromCartRequest>) -> Result<Response<()>, Status> {
        Err(refusal())
    }

    async fn list_cart(&self, _: Request<ListCartRequest>) -> Result<Response<ListCartResponse>, Status> {
        Ok(Response::new(cart()))
    }

    async fn purchase(&self, _: Request<PurchaseRequest>) -> Result<Response<PurchaseResponse>, Status> {
        Err(refusal())
    }
}

fn refusal() -> Status {
    let details = ErrorDetails::with_error_info("SOME_REASON", "route256", [("sku".to_owned(), "1".to_owned())]);
    Status::with_error_details(Code::FailedPrecondition, "no: 1 % ö", details)
}

fn cart() -> ListCartResponse {
    let item = CartGoodInfo { sku: 1, count: 2, name: "a pan".into(), price: 3 };
    ListCartResponse { items: vec![item], total_price: 6 }
}

fn framed(message: &impl prost::Message) -> Bytes {
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut framed).unwrap();
    framed.freeze()
}

struct Door {
    client: Client,
    url: String,
    drain: CancellationToken,
    served: JoinHandle<()>,
}

impl Door {
    async fn open(origins: &[&str]) -> Self {
        install_crypto_provider();
        let any_port = ([127, 0, 0, 1], 0).into();
        let allowed_origins = origins.iter().map(|origin| Origin::from_text(origin).unwrap()).collect();
        let http = HttpConfig { listen: any_port, cors: CorsConfig { allowed_origins } };
        let config = GrpcConfig::new(any_port, None);
        let (_, door) = Port::open_public(&config, Some(&http)).await.unwrap();
        let door = door.unwrap();
        let (_, health) = tonic_health::server::health_reporter();
        let (drain, routes) = (CancellationToken::new(), platform::routes!(CartServer, Scripted));
        let calls = router(&config, "cart.Cart", &[], proto::DESCRIPTORS, routes, health, drain.clone()).unwrap();
        let router = json::router(&http, "cart.Cart", proto::DESCRIPTORS, DOCUMENT, calls).unwrap();
        let url = format!("http://{}", door.address());
        let served = tokio::spawn(door.serve(router, drain.clone()));
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { client, url, drain, served }
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> reqwest::Response {
        let request = self.client.request(method, format!("{}{path}", self.url)).body(body);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.send(Method::GET, path, &[], Vec::new()).await
    }

    async fn close(self) {
        self.drain.cancel();
        self.served.await.unwrap();
    }
}

/// As the wire has it, unpacked.
async fn text(answer: reqwest::Response) -> String {
    let is_compressed = answer.headers().get("content-encoding").is_some_and(|coding| coding == "gzip");
    let body = answer.bytes().await.unwrap();
    let mut text = String::new();
    if is_compressed {
        GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    } else {
        body.reader().read_to_string(&mut text).unwrap();
    }
    text
}

/// What the page names in attributes.
fn named<'page>(page: &'page str, attribute: &str) -> Vec<&'page str> {
    let start = format!("{attribute}=\"");
    page.split(start.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[tokio::test]
async fn the_page_of_the_document_has_all_that_it_loads_from_its_own_port() {
    let door = Door::open(&[]).await;
    let page = door.get("/docs").await;
    assert_eq!(
        (page.status().as_u16(), &page.headers()[CONTENT_TYPE]),
        (200, &"text/html; charset=utf-8".parse().unwrap())
    );
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{policy}");
    let page = text(page).await;
    let (scripts, links) = (named(&page, "src"), named(&page, "href"));
    assert_eq!((scripts.len(), links.len()), (2, 4), "{page}");
    for path in scripts.into_iter().chain(links) {
        if path == "data:," {
            continue;
        }
        assert!(!path.contains(':') && !path.starts_with('/'), "{path} leads elsewhere");
        let asset = door.get(&format!("/{path}")).await;
        assert_eq!(asset.status().as_u16(), 200, "{path}");
        if path == "openapi.json" {
            assert_eq!(text(asset).await, DOCUMENT);
            continue;
        }
        let headers = asset.headers().clone();
        let expected =
            if path.ends_with(".css") { "text/css; charset=utf-8" } else { "text/javascript; charset=utf-8" };
        assert_eq!(headers[CONTENT_TYPE], expected, "{path}");
        assert_eq!(
            (&headers["x-content-type-options"], &headers["referrer-policy"]),
            (&"nosniff".parse().unwrap(), &"no-referrer".parse().unwrap())
        );
        let text = text(asset).await;
        assert!(
            !text.is_empty() && !text.contains("@import") && !text.contains("url(http"),
            "{path} loads from elsewhere"
        );
        let is_ours = path.starts_with("docs/page.");
        assert!(!is_ours || !text.contains("://"), "{path} names an address");
    }
    door.close().await;
}

#[tokio::test]
async fn the_page_is_for_reading_and_has_one_address() {
    let door = Door::open(&[]).await;
    let head = door.send(Method::HEAD, "/docs", &[], Vec::new()).await;
    assert_eq!(head.status().as_u16(), 200);
    assert_ne!(head.headers()["content-length"], "0");
    assert!(head.bytes().await.unwrap().is_empty());
    for path in ["/docs", "/docs/page.js", "/docs/swagger-ui.css"] {
        let refused = door.send(Method::POST, path, &[], Vec::new()).await;
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["allow"]),
            (405, &"GET,HEAD".parse().unwrap()),
            "{path}"
        );
    }
    let moved = door.get("/docs/").await;
    assert_eq!((moved.status().as_u16(), &moved.headers()["location"]), (308, &"../docs".parse().unwrap()));
    // The library has more than the page needs.
    for path in
        ["/docs/oauth2-redirect.html", "/docs/swagger-ui-bundle.js.map", "/docs/page.html", "/docs/../Cargo.toml"]
    {
        assert_eq!(door.get(path).await.status().as_u16(), 404, "{path}");
    }
    door.close().await;
}

/// Each piece of a text has its own padding.
fn decoded(text: &[u8]) -> Bytes {
    text.chunks(4).flat_map(|four| BASE64_STANDARD.decode(four).unwrap()).collect()
}

/// The messages of an answer of gRPC-Web, and its trailers, which come last or, without a message, as headers.
fn unframed(headers: &HeaderMap, mut body: Bytes) -> (Vec<Bytes>, HeaderMap) {
    let (mut messages, mut trailers) = (Vec::new(), headers.clone());
    while body.has_remaining() {
        let (flags, length) = (body.get_u8(), body.get_u32() as usize);
        let frame = body.split_to(length);
        if flags & 0x80 == 0 {
            messages.push(frame);
            continue;
        }
        for line in std::str::from_utf8(&frame).unwrap().split_terminator("\r\n") {
            let (name, value) = line.split_once(':').unwrap();
            trailers.insert(name.parse::<axum::http::HeaderName>().unwrap(), value.trim().parse().unwrap());
        }
    }
    (messages, trailers)
}

#[tokio::test]
async fn browsers_call_with_grpc_web_as_bytes_and_as_text() {
    let door = Door::open(&[]).await;
    for content_type in ["application/grpc-web+proto", "application/grpc-web-text"] {
        let is_text = content_type.ends_with("text");
        let call = async |path: &str, message: Bytes| {
            let body = if is_text { BASE64_STANDARD.encode(message).into_bytes() } else { message.to_vec() };
            let headers = [("content-type", content_type), ("accept", content_type), ("x-grpc-web", "1")];
            let answer = door.send(Method::POST, path, &headers, body).await;
            assert_eq!(answer.status().as_u16(), 200, "{content_type}");
            let headers = answer.headers().clone();
            assert!(headers[CONTENT_TYPE].to_str().unwrap().starts_with(content_type), "{headers:?}");
            let body = answer.bytes().await.unwrap();
            let body = if is_text { decoded(&body) } else { body };
            unframed(&headers, body)
        };
        let (messages, trailers) = call("/cart.Cart/ListCart", framed(&ListCartRequest { user: 1 })).await;
        assert_eq!(messages.len(), 1);
        assert_eq!(ListCartResponse::decode(messages[0].clone()).unwrap(), cart());
        assert_eq!(trailers["grpc-status"], "0");

        let refused = framed(&AddToCartRequest { user: 1, sku: 1, count: 1 });
        let (messages, trailers) = call("/cart.Cart/AddToCart", refused).await;
        assert!(messages.is_empty());
        let status = Status::from_header_map(&trailers).unwrap();
        assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "no: 1 % ö"));
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.metadata["sku"].as_str()), ("SOME_REASON", "1"));
    }
    door.close().await;
}

const PREFLIGHT: [(&str, &str); 2] =
    [("access-control-request-method", "POST"), ("access-control-request-headers", "content-type,idempotency-key")];

impl Door {
    async fn preflight(&self, path: &str, origin: &str) -> (u16, HeaderMap) {
        let headers = [&PREFLIGHT[..], &[("origin", origin)]].concat();
        let answer = self.send(Method::OPTIONS, path, &headers, Vec::new()).await;
        (answer.status().as_u16(), answer.headers().clone())
    }

    async fn list_cart(&self, origin: &str) -> (u16, HeaderMap) {
        let answer = self.send(Method::POST, "/listCart", &[("origin", origin)], b"{\"user\": 1}".to_vec()).await;
        (answer.status().as_u16(), answer.headers().clone())
    }
}

fn words(headers: &HeaderMap, name: &str) -> Vec<String> {
    let words = headers.get(name).map_or("", |value| value.to_str().unwrap()).split(',');
    words.map(|word| word.trim().to_lowercase()).filter(|word| !word.is_empty()).collect()
}

fn is_about_origins(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("access-control-"))
}

#[tokio::test]
async fn without_allowed_origins_no_answer_says_anything_of_them_and_a_preflight_is_refused() {
    let door = Door::open(&[]).await;
    let (status, headers) = door.preflight("/listCart", SHOP).await;
    assert_eq!((status, is_about_origins(&headers)), (403, false), "{headers:?}");
    let (status, headers) = door.preflight("/cart.Cart/ListCart", SHOP).await;
    assert_eq!((status, is_about_origins(&headers)), (403, false), "{headers:?}");
    let (status, headers) = door.list_cart(SHOP).await;
    assert_eq!((status, is_about_origins(&headers)), (403, false), "{headers:?}");
    door.close().await;
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_call_and_one_of_another_may_not() {
    let door = Door::open(&[SHOP]).await;
    for path in ["/listCart", "/cart.Cart/ListCart"] {
        let (status, headers) = door.preflight(path, SHOP).await;
        assert_eq!((status, &headers["access-control-allow-origin"]), (200, &SHOP.parse().unwrap()), "{path}");
        assert_eq!(words(&headers, "access-control-allow-methods"), ["get", "post"]);
        let allowed = words(&headers, "access-control-allow-headers");
        for header in ["content-type", "grpc-timeout", "idempotency-key", "traceparent", "x-grpc-web", "x-user-agent"] {
            assert!(allowed.iter().any(|other| other == header), "{header} is not in {allowed:?}");
        }
        assert!(headers.get("access-control-allow-credentials").is_none());
    }
    let (status, headers) = door.list_cart(SHOP).await;
    assert_eq!((status, &headers["access-control-allow-origin"]), (200, &SHOP.parse().unwrap()));
    let exposed = words(&headers, "access-control-expose-headers");
    for header in ["x-trace-id", "grpc-status", "grpc-message", "grpc-status-details-bin"] {
        assert!(exposed.iter().any(|other| other == header), "{header} is not in {exposed:?}");
    }
    assert!(words(&headers, "vary").contains(&"origin".to_owned()), "{headers:?}");

    for other in ["https://other.example", "http://shop.example", "https://shop.example:8443", "null"] {
        let (_, headers) = door.preflight("/listCart", other).await;
        assert!(headers.get("access-control-allow-origin").is_none(), "{other}: {headers:?}");
        let (status, headers) = door.list_cart(other).await;
        assert_eq!(status, 403, "{other}");
        assert!(headers.get("access-control-allow-origin").is_none(), "{other}: {headers:?}");
    }
    door.close().await;
}
