//! The JSON door, held against what grpc-gateway answered. `gateway/answers.json` has requests as they were sent to one
//! (2.15.2, with the names of the `.proto` files and with fields of default value), what it answered, and what the service
//! behind it received; `gateway/messages.json` has the answers of that service. It chose them by the user of the request,
//! or its order, or its SKU, as [`Scripted`] does here. Where the door differs on purpose, `gateway/differences.json` says
//! why and how.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Response, header::CONTENT_TYPE},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http_body_util::BodyExt as _;
use platform::{
    config::service::{CorsConfig, GrpcConfig, HttpConfig},
    grpc::server::router,
    json,
    net::Port,
};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, service::Routes};
use tonic_types::{BadRequest, ErrorDetail, ErrorDetails, ErrorInfo, FieldViolation, RetryInfo, StatusExt as _};

#[derive(Deserialize)]
struct Case {
    name: String,
    service: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    body_base64: Option<String>,
    /// The whole request.
    raw_base64: Option<String>,
    /// Whether the client says that nothing follows.
    #[serde(default)]
    close_write: bool,
    status: u16,
    answer_headers: BTreeMap<String, Vec<String>>,
    answer: Option<Value>,
    /// The message is the gateway's own.
    #[serde(default)]
    own_text: bool,
    received: Option<Received>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
struct Received {
    rpc: String,
    /// In base64.
    message: String,
    metadata: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Difference {
    why: String,
    /// The status of HTTP that the door answers, by the names of the cases.
    cases: BTreeMap<String, u16>,
}

/// Answers any call of the services by what its request says.
#[derive(Clone)]
struct Scripted {
    pool: DescriptorPool,
    /// By type and kind.
    messages: Arc<HashMap<String, HashMap<String, String>>>,
    received: Arc<Mutex<Option<Received>>>,
}

impl Scripted {
    async fn answer(State(this): State<Self>, request: Request) -> Response<Body> {
        match this.try_answer(request).await {
            Ok(response) => response,
            Err(mut status) => {
                // As failures of a service have one.
                status.set_source(Arc::new(std::io::Error::other("scripted")));
                status.into_http()
            }
        }
    }

    async fn try_answer(&self, request: Request) -> Result<Response<Body>, Status> {
        let (parts, body) = request.into_parts();
        let (service, method) = parts.uri.path().trim_start_matches('/').split_once('/').unwrap();
        let service = self.pool.get_service_by_name(service).unwrap();
        let method = service.methods().find(|other| other.name() == method).unwrap();
        let message = body.collect().await.unwrap().to_bytes().slice(5..);
        // A gateway's were not noted, or are its own.
        let own = ["content-type", "grpc-timeout", "user-agent", "x-forwarded-for", "x-forwarded-host"];
        let metadata = parts.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
        let mut received = Received {
            rpc: format!("{}/{}", service.full_name(), method.name()),
            message: BASE64_STANDARD.encode(&message),
            ..Received::default()
        };
        for (name, value) in metadata {
            let values = received.metadata.entry(name.to_string()).or_default();
            values.push(String::from_utf8_lossy(value.as_bytes()).into_owned());
            values.sort();
        }
        *self.received.lock().unwrap() = Some(received);

        let message = DynamicMessage::decode(method.input(), message).unwrap();
        let number = ["user", "orderID", "sku"].iter().find_map(|name| message.get_field_by_name(name)).unwrap();
        let number = number.as_i64().unwrap_or_else(|| number.as_u32().unwrap().into());
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))]);
        let mut add = |name, value| headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        let kind = match number {
            1001..=1016 => return Err(refusal(i32::try_from(number - 1000).unwrap())),
            2000 => "maximal",
            2001 => {
                add("x-trace-id", "abc");
                "filled"
            }
            2002 => {
                add("x-trace-id", "abc");
                add("x-many", "a");
                add("x-many", "b");
                add("x-data-bin", "aGkh");
                "filled"
            }
            2003 => {
                let mut status = Status::with_error_details(Code::NotFound, "refused with metadata", details(5));
                status.metadata_mut().insert("x-trace-id", "abc".parse().unwrap());
                return Err(status);
            }
            2004 => {
                let text = "\"q\" \\ / <b>&</b> \n\t\u{1} é 日本語 🛒 \u{2028} 100%";
                return Err(Status::with_error_details(Code::FailedPrecondition, text, details(9)));
            }
            // Every caller of this has a deadline.
            2005 => return std::future::pending().await,
            2006 => return Err(any(Code::Aborted, "an unknown detail", "nobody.Knows", &[8, 1])),
            2007 => return Err(Status::internal("")),
            2008 => return Err(Status::unauthenticated("who are you?\r\nX-Injected: 1 é")),
            2009 => return Err(any(Code::Aborted, "a detail that is broken", "google.rpc.ErrorInfo", &[0xff])),
            2010 => {
                let details: Vec<ErrorDetail> = vec![
                    ErrorInfo::new("", "", HashMap::new()).into(),
                    BadRequest::new(Vec::new()).into(),
                    RetryInfo::new(None).into(),
                    BadRequest::new(vec![FieldViolation::new("", "")]).into(),
                ];
                return Err(Status::with_error_details_vec(Code::Aborted, "empty details", details));
            }
            odd if odd & 1 == 1 => "default",
            _ => "filled",
        };
        let message = BASE64_STANDARD.decode(&self.messages[method.output().full_name()][kind]).unwrap();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let mut response = Response::new(Body::from([&[0], &length[..], &message].concat()));
        *response.headers_mut() = headers;
        Ok(response)
    }
}

fn refusal(code: i32) -> Status {
    let message = format!("refused with {code}");
    let details = details(code);
    if code == 2 || code == 6 || code == 10 {
        return Status::new(Code::from_i32(code), message);
    }
    Status::with_error_details(Code::from_i32(code), message, details)
}

fn details(code: i32) -> ErrorDetails {
    let mut details = ErrorDetails::new();
    if code % 2 == 1 {
        let metadata = [("sku", "1"), ("available", "2")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        details.set_error_info("SOME_REASON", "route256", HashMap::from(metadata));
    }
    if code % 4 == 0 {
        details.set_bad_request(vec![
            FieldViolation::new("user", "must be above 0"),
            FieldViolation::new("items[0].count", "must be <= 65535 & \"whole\""),
        ]);
    }
    if code == 14 {
        details.set_retry_info(Some(Duration::from_millis(1500)));
    }
    details
}

fn any(code: Code, message: &str, name: &str, value: &[u8]) -> Status {
    let any = prost_types::Any { type_url: format!("type.googleapis.com/{name}"), value: value.to_vec() };
    let status = tonic_types::pb::Status { code: code as i32, message: message.to_owned(), details: vec![any] };
    Status::with_details(code, message, status.encode_to_vec().into())
}

/// The door of each service.
struct Doors {
    ports: HashMap<&'static str, u16>,
    received: Arc<Mutex<Option<Received>>>,
    drain: CancellationToken,
    served: Vec<JoinHandle<()>>,
}

impl Doors {
    async fn open() -> Self {
        let pool = DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
        let messages = serde_json::from_str(include_str!("gateway/messages.json")).unwrap();
        let received = Arc::new(Mutex::new(None));
        let scripted = Scripted { pool, messages: Arc::new(messages), received: Arc::clone(&received) };
        let any_port = ([127, 0, 0, 1], 0).into();
        let (drain, mut ports, mut served) = (CancellationToken::new(), HashMap::new(), Vec::new());
        for (name, service) in
            [("cart", "cart.Cart"), ("loms", "loms.Loms"), ("notifications", "notifications.Notifications")]
        {
            let http = HttpConfig { listen: any_port, cors: CorsConfig::default() };
            let config = GrpcConfig::new(any_port, None);
            let (_, door) = Port::open_public(&config, Some(&http)).await.unwrap();
            let door = door.unwrap();
            let routes = Routes::from(Router::new().fallback(Scripted::answer).with_state(scripted.clone()));
            let (_, health) = tonic_health::server::health_reporter();
            let calls = router(&config, service, &[], proto::DESCRIPTORS, routes, health, drain.clone()).unwrap();
            let router = json::router(&http, service, proto::DESCRIPTORS, "{}", calls).unwrap();
            ports.insert(name, door.address().port());
            served.push(tokio::spawn(door.serve(router, drain.clone())));
        }
        Self { ports, received, drain, served }
    }

    /// Sends a request, and says how the answer differs from the gateway's, if it does.
    async fn compare(&self, case: &Case) -> Option<(u16, String)> {
        *self.received.lock().unwrap() = None;
        let answer = send(self.ports[case.service.as_str()], case).await;
        let received = self.received.lock().unwrap().take();
        let mut differs = Vec::new();
        if answer.status != case.status {
            differs.push(format!("{} instead of {}", answer.status, case.status));
        }
        if let Some(expected) = &case.answer {
            let own: Value = serde_json::from_str(&answer.body).unwrap_or(Value::String(answer.body.clone()));
            let is_same =
                if case.own_text { without_message(&own) == without_message(expected) } else { own == *expected };
            if !is_same {
                differs.push(format!("{own} instead of {expected}"));
            }
        }
        for (name, values) in &case.answer_headers {
            let own = answer.headers.get(name).cloned().unwrap_or_default();
            // An id that the service does not choose here.
            let is_same = name == "grpc-metadata-x-trace-id" || own == *values;
            if case.answer.is_some() && !is_same {
                differs.push(format!("{name}: {own:?} instead of {values:?}"));
            }
        }
        let metadata = answer.headers.keys().filter(|name| name.starts_with("grpc-metadata-"));
        for name in metadata.filter(|name| !case.answer_headers.contains_key(*name)) {
            differs.push(format!("{name} is there"));
        }
        if received != case.received {
            differs.push(format!("received {received:?} instead of {:?}", case.received));
        }
        (!differs.is_empty()).then(|| (answer.status, differs.join("; ")))
    }

    async fn close(self) {
        self.drain.cancel();
        for served in self.served {
            served.await.unwrap();
        }
    }
}

impl Case {
    fn request(&self) -> Vec<u8> {
        if let Some(raw) = &self.raw_base64 {
            return BASE64_STANDARD.decode(raw).unwrap();
        }
        let body = match (&self.body, &self.body_base64) {
            (Some(body), _) => Some(body.clone().into_bytes()),
            (None, Some(body)) => Some(BASE64_STANDARD.decode(body).unwrap()),
            (None, None) => None,
        };
        let mut request = format!("{} {} HTTP/1.1\r\nHost: door.test\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            request += &format!("{name}: {value}\r\n");
        }
        let has = |name: &str| self.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        let is_chunked = has("transfer-encoding");
        if let Some(body) = &body
            && !is_chunked
            && !has("content-length")
        {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        let mut request = (request + "\r\n").into_bytes();
        let body = body.unwrap_or_default();
        if is_chunked {
            request.extend(format!("{:x}\r\n", body.len()).bytes().chain(body).chain(*b"\r\n0\r\n\r\n"));
        } else {
            request.extend(body);
        }
        request
    }
}

struct Answer {
    status: u16,
    headers: BTreeMap<String, Vec<String>>,
    body: String,
}

/// Sends a request on a connection of its own. The status is 0 if it is closed without an answer.
async fn send(port: u16, case: &Case) -> Answer {
    let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    // Who is refused early may find the connection closed.
    let _ = stream.write_all(&case.request()).await;
    if case.close_write {
        stream.shutdown().await.unwrap();
    }
    loop {
        let (mut status, mut headers) = (0, BTreeMap::<String, Vec<String>>::new());
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            if text.is_empty() {
                break;
            }
            match text.split_once(": ") {
                Some((name, value)) if status != 0 => {
                    headers.entry(name.to_lowercase()).or_default().push(value.to_owned());
                }
                Some(_) | None => status = text.split(' ').nth(1).unwrap().parse().unwrap(),
            }
        }
        if status == 100 {
            continue;
        }
        let length = headers.get("content-length").map_or(0, |values| values[0].parse().unwrap());
        let mut body = vec![0; if case.method == "HEAD" { 0 } else { length }];
        stream.read_exact(&mut body).await.unwrap();
        return Answer { status, headers, body: String::from_utf8(body).unwrap() };
    }
}

fn without_message(answer: &Value) -> Value {
    let mut answer = answer.clone();
    if let Some(answer) = answer.as_object_mut() {
        answer.remove("message");
    }
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_answered_is_answered_but_for_the_differences_that_are_told() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("gateway/answers.json")).unwrap();
    let differences: Vec<Difference> = serde_json::from_str(include_str!("gateway/differences.json")).unwrap();
    let mut own: BTreeMap<_, _> =
        differences.iter().flat_map(|difference| difference.cases.iter().map(|case| (case, &difference.why))).collect();
    let doors = Doors::open().await;
    let mut wrong = Vec::new();
    for case in &cases {
        let told = differences.iter().find_map(|difference| difference.cases.get(&case.name));
        own.retain(|(name, _), _| **name != case.name);
        match (doors.compare(case).await, told) {
            (None, None) => {}
            (Some((status, _)), Some(own)) if status == *own => {}
            (Some((status, how)), _) => wrong.push(format!("{}\t{status}\t{how}", case.name)),
            (None, Some(_)) => wrong.push(format!("{} is no difference", case.name)),
        }
    }
    doors.close().await;
    assert!(wrong.is_empty(), "{}\n{} cases", wrong.join("\n"), wrong.len());
    assert!(own.is_empty(), "there are no such cases: {own:?}");
}
