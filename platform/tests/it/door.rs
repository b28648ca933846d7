//! Calls over HTTP/JSON go through the same layers as those over gRPC, once.

use std::{sync::atomic::Ordering, time::Duration};

use platform::grpc::status::INTERNAL_TEXT;
use reqwest::{Certificate, Client, Identity, Response};
use serde_json::{Value, json};
use stack::testing::eventually;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::world::{ANSWERED, LARGE, PANICS, WAITS, World, metrics_show, purchase};

struct Shopper {
    client: Client,
    url: String,
}

impl Shopper {
    fn new(world: &World) -> Self {
        Self::with(world, None).unwrap()
    }

    fn with(world: &World, identity: Option<Identity>) -> reqwest::Result<Self> {
        let authority = Certificate::from_pem(world.authority.pem().as_bytes())?;
        let builder = Client::builder().no_proxy().tls_certs_only([authority]);
        let builder = match identity {
            Some(identity) => builder.identity(identity),
            None => builder,
        };
        Ok(Self { client: builder.build()?, url: format!("https://localhost:{}", world.http_port) })
    }

    fn over_http1(world: &World) -> Self {
        let authority = Certificate::from_pem(world.authority.pem().as_bytes()).unwrap();
        let client = Client::builder().no_proxy().tls_certs_only([authority]).http1_only().build().unwrap();
        Self { client, ..Self::new(world) }
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Response {
        self.try_post(path, headers, body).await.unwrap()
    }

    async fn try_post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Result<Response> {
        let request = self.client.post(format!("{}{path}", self.url)).body(body);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await
    }

    async fn purchase(&self, user: i64) -> (u16, Value) {
        whole(self.post("/purchase", &[], json!({ "user": user }).to_string()).await).await
    }
}

async fn whole(answer: Response) -> (u16, Value) {
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn refusal(code: i32, message: &str) -> Value {
    json!({ "code": code, "message": message, "details": [] })
}

/// What a counter of purchases has, of all tests of this process.
fn counted(metric: &str, labels: &str) -> f64 {
    let text = String::from_utf8(platform::metrics::render().unwrap()).unwrap();
    let start = format!("{metric}{{{labels}}} ");
    text.lines().find_map(|line| line.strip_prefix(&start)).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_handler_that_panics_is_an_internal_error_and_the_next_call_is_answered() {
    let world = World::start().await;
    let shopper = Shopper::new(&world);
    assert_eq!(shopper.purchase(PANICS).await, (500, refusal(13, INTERNAL_TEXT)));
    assert_eq!(shopper.purchase(ANSWERED).await, (200, json!({ "orderID": "3" })));
}

#[tokio::test]
async fn a_call_ends_at_its_deadline() {
    let world = World::start().await;
    let shopper = Shopper::new(&world);
    let body = json!({ "user": WAITS }).to_string();
    let (status, answer) = whole(shopper.post("/purchase", &[("Grpc-Timeout", "100m")], body).await).await;
    assert_eq!((status, &answer["code"]), (504, &json!(4)));
}

#[tokio::test]
async fn both_doors_share_the_places() {
    let world = World::start_with(|config| config.max_concurrent_requests = 2).await;
    let shopper = Shopper::new(&world);
    let mut client = world.client();
    let over_grpc = tokio::spawn(async move { client.purchase(purchase(WAITS)).await });
    let running = async {
        eventually("both calls run", async || (world.script.waiting.load(Ordering::SeqCst) == 2).then_some(())).await;
        // On a connection of its own: one may have half of the places.
        let (status, answer) = Shopper::new(&world).purchase(ANSWERED).await;
        assert_eq!((status, &answer["code"]), (429, &json!(8)));
        world.script.go_on.cancel();
    };
    let (over_http, ()) = tokio::join!(shopper.purchase(WAITS), running);
    assert_eq!(over_http, (200, json!({ "orderID": "2" })));
    over_grpc.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_body_of_more_than_64_kib_is_refused_as_too_large_and_one_of_64_kib_is_read() {
    let world = World::start().await;
    let shopper = Shopper::new(&world);
    let padded = |length: usize| {
        let body = json!({ "user": ANSWERED }).to_string();
        body.clone() + &" ".repeat(length - body.len())
    };
    assert_eq!(whole(shopper.post("/purchase", &[], padded(64 * 1024)).await).await.0, 200);
    let (status, answer) = whole(shopper.post("/purchase", &[], padded(64 * 1024 + 1)).await).await;
    assert_eq!((status, answer), (413, refusal(8, "the request is larger than 65536 bytes")));
}

#[tokio::test]
async fn a_large_answer_arrives_whole() {
    let world = World::start().await;
    let (status, answer) =
        whole(Shopper::new(&world).post("/listCart", &[], json!({ "user": LARGE }).to_string()).await).await;
    assert_eq!((status, answer["items"][0]["name"].as_str().unwrap().len()), (200, 1024 * 1024));
}

#[tokio::test]
async fn what_cannot_be_read_is_told_with_its_place() {
    let world = World::start().await;
    let shopper = Shopper::new(&world);
    for (path, body, message) in [
        ("/purchase", r#"{"user": "many"}"#, "user: must be an integer"),
        ("/purchase", r#"{"user": 9223372036854775808}"#, "user: is out of range"),
        ("/purchase", r#"{"user": 1, "user": 2}"#, "user: is given twice"),
        ("/purchase", r#"{"idempotency_key": 7}"#, "idempotency_key: must be a string of Unicode"),
        ("/addToCart", r#"{"count": -1}"#, "count: is out of range"),
        ("/addToCart", r#"{"count": 1.5}"#, "count: must be an integer"),
        ("/addToCart", "[]", "the body: must be an object"),
    ] {
        let answer = whole(shopper.post(path, &[], body).await).await;
        assert_eq!(answer, (400, refusal(3, message)), "{body}");
    }
    let (status, answer) = whole(shopper.post("/purchase", &[], r#"{"user": 1"#).await).await;
    assert_eq!((status, answer["message"].as_str().unwrap().split(':').next()), (400, Some("the body")));
}

#[tokio::test]
async fn a_key_in_the_header_is_that_of_the_body_unless_that_has_another_one() {
    let world = World::start().await;
    let shopper = Shopper::new(&world);
    let post = async |path, header, body| {
        whole(shopper.post(path, &[("Idempotency-Key", header)], Value::to_string(&body)).await).await
    };
    for body in [json!({ "user": ANSWERED }), json!({ "user": ANSWERED, "idempotency_key": "k" })] {
        assert_eq!(post("/purchase", "k", body).await.0, 200);
    }
    let other = json!({ "user": ANSWERED, "idempotency_key": "other" });
    let message = "idempotency_key: the header Idempotency-Key has another value";
    assert_eq!(post("/purchase", "k", other).await, (400, refusal(3, message)));
    // A call without keys does not look at it.
    assert_eq!(post("/addToCart", "k", json!({ "user": ANSWERED })).await.0, 200);
}

#[tokio::test]
async fn a_call_is_counted_once_with_the_door_that_it_came_in_by() {
    let world = World::start().await;
    // Others purchase, too; nobody else lists carts with bad JSON.
    let by_protocol = |protocol| {
        format!(
            "grpc_code=\"InvalidArgument\",grpc_method=\"ListCart\",grpc_service=\"cart.Cart\",protocol=\"{protocol}\""
        )
    };
    let all = "grpc_code=\"InvalidArgument\",grpc_method=\"ListCart\",grpc_service=\"cart.Cart\",grpc_type=\"unary\"";
    let count = || {
        let of = |protocol| counted("grpc_server_handled_by_protocol_total", &by_protocol(protocol));
        [of("json"), of("grpc"), counted("grpc_server_handled_total", all)]
    };
    let before = count();
    assert_eq!(whole(Shopper::new(&world).post("/listCart", &[], "no JSON").await).await.0, 400);
    assert_eq!(count(), [before[0] + 1.0, before[1], before[2] + 1.0]);
    assert!(metrics_show("server_connections_max{port=\"http\"} 1024"));
}

#[tokio::test]
async fn a_door_that_demands_certificates_lets_in_those_of_its_authority_only() {
    let world = World::start_with(|config| {
        let tls = config.tls.as_mut().unwrap();
        tls.client_ca = Some(tls.certificate.with_file_name("ca.pem"));
    })
    .await;
    let body = json!({ "user": ANSWERED }).to_string();
    assert!(Shopper::new(&world).try_post("/purchase", &[], body.clone()).await.is_err());
    let identity = ["client.pem", "client.key"].map(|file| std::fs::read(world.certs.path().join(file)).unwrap());
    let identity = Identity::from_pem(&identity.concat()).unwrap();
    let answer = Shopper::with(&world, Some(identity)).unwrap().post("/purchase", &[], body).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_door_that_drains_answers_the_calls_that_run() {
    let world = World::start().await;
    let shopper = Shopper::new(&world);
    let draining = async {
        eventually("the call runs", async || (world.script.waiting.load(Ordering::SeqCst) == 1).then_some(())).await;
        world.drain.cancel();
        eventually("nobody new is let in", async || {
            shopper.try_post("/purchase", &[], "{}").await.is_err().then_some(())
        })
        .await;
        world.script.go_on.cancel();
    };
    let other = Shopper::new(&world);
    let (answer, ()) = tokio::join!(other.purchase(WAITS), draining);
    assert_eq!(answer, (200, json!({ "orderID": "2" })));
    tokio::time::timeout(Duration::from_secs(30), world.http_served).await.expect("the port ends").unwrap();
}

#[tokio::test]
async fn a_connection_over_which_nothing_comes_for_a_while_answers_the_next_call() {
    let world = World::start_with(|config| config.tls = None).await;
    let body = json!({ "user": ANSWERED }).to_string();
    let request = format!("POST /purchase HTTP/1.1\r\nHost: shop\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut stream = TcpStream::connect(("127.0.0.1", world.http_port)).await.unwrap();
    for is_last in [false, true] {
        let mut answer = Vec::new();
        stream.write_all(request.as_bytes()).await.unwrap();
        while !answer.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "the connection is closed");
        }
        // Clients keep connections for longer than this.
        let closed = tokio::time::timeout(Duration::from_secs(6), stream.read_u8());
        assert!(is_last || closed.await.is_err(), "the connection is closed");
    }
}

#[tokio::test]
async fn what_is_answered_before_its_body_has_come_reaches_its_caller() {
    let world = World::start().await;
    let body = vec![b' '; 1024 * 1024];
    for shopper in [Shopper::new(&world), Shopper::over_http1(&world)] {
        for _ in 0..10 {
            for (path, status) in [("/purchase", 413), ("/nowhere", 404), ("/openapi.json", 405)] {
                assert_eq!(shopper.post(path, &[], body.clone()).await.status(), status, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn a_page_of_another_origin_gets_no_call_through() {
    let world = World::start().await;
    let shopper = Shopper::new(&world);
    let body = json!({ "user": WAITS }).to_string();
    for origin in ["https://evil.example", "null", "https://localhost"] {
        // Browsers do not ask before they send this.
        let headers = [("Origin", origin), ("Content-Type", "text/plain")];
        let (status, answer) = whole(shopper.post("/purchase", &headers, body.clone()).await).await;
        assert_eq!((status, &answer["code"]), (403, &json!(7)), "{origin}");
    }
    assert_eq!(world.script.waiting.load(Ordering::SeqCst), 0);
    let own = shopper.url.clone();
    let body = json!({ "user": ANSWERED }).to_string();
    assert_eq!(shopper.post("/purchase", &[("Origin", &own)], body).await.status(), 200);
}

#[tokio::test]
async fn grpc_web_leads_to_the_calls_of_the_service_alone() {
    let world = World::start().await;
    let shopper = Shopper::new(&world);
    for (path, content_type) in [
        ("/cart.Cart/Purchase", "application/grpc-webfoo"),
        ("/cart.Cart/Purchase", "application/grpc"),
        ("/grpc.health.v1.Health/Check", "application/grpc-web"),
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "application/grpc-web+proto"),
    ] {
        let answer = shopper.post(path, &[("Content-Type", content_type)], vec![0; 5]).await;
        assert_eq!(answer.status(), 404, "{path} as {content_type}");
    }
    let answer = shopper.post("/cart.Cart/Purchase", &[("Content-Type", "application/grpc-web")], vec![0; 5]).await;
    assert_eq!(answer.status(), 200);
}
