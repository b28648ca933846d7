//! What callers may take of a port: calls whose message never comes, connections that say nothing, answers that nobody
//! reads. Others are served all the same.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::body::Bytes;
use h2::{
    SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::Request;
use platform::config::service::GrpcConfig;
use prost::Message as _;
use proto::cart::ListCartRequest;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use stack::testing::eventually;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::Code;

use crate::world::{ANSWERED, LARGE, WAITS, World, metrics_show, purchase};

async fn tcp(world: &World, from: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    socket.connect(SocketAddr::from(([127, 0, 0, 1], world.port))).await.unwrap()
}

async fn tls(world: &World, from: Ipv4Addr) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(world.authority.pem().as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".into()];
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp(world, from).await).await
}

/// A client that does with HTTP/2 what gRPC's clients do not.
struct Rude {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<()>,
}

impl Rude {
    async fn connect(world: &World, configure: impl FnOnce(&mut h2::client::Builder)) -> Self {
        Self::on(tls(world, Ipv4Addr::LOCALHOST).await.unwrap(), configure).await
    }

    /// A client whose connection comes from this address and has had a request.
    async fn used(world: &World, from: Ipv4Addr) -> Self {
        let client = Self::on(tls(world, from).await.unwrap(), |_| {}).await;
        let (answer, _body) = client.list_cart("5S", Some(ListCartRequest { user: ANSWERED })).await;
        answer.await.unwrap();
        client
    }

    async fn on(stream: TlsStream<TcpStream>, configure: impl FnOnce(&mut h2::client::Builder)) -> Self {
        let mut builder = h2::client::Builder::new();
        configure(&mut builder);
        let (requests, connection) = builder.handshake(stream).await.unwrap();
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        Self { requests, connection }
    }

    /// Opens a call of ListCart; without `message`, only its headers are sent.
    async fn list_cart(&self, timeout: &str, message: Option<ListCartRequest>) -> (ResponseFuture, SendStream<Bytes>) {
        let request = Request::post("https://localhost/cart.Cart/ListCart")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", timeout);
        let mut requests = self.requests.clone().ready().await.unwrap();
        let (answer, mut body) = requests.send_request(request.body(()).unwrap(), false).unwrap();
        if let Some(message) = message {
            let message = message.encode_to_vec();
            let length = u32::try_from(message.len()).unwrap().to_be_bytes();
            body.send_data([&[0], &length[..], &message].concat().into(), true).unwrap();
        }
        (answer, body)
    }
}

/// The code of an answer that is over with its headers.
async fn code(answer: ResponseFuture) -> Code {
    let answer = answer.await.unwrap();
    Code::from_bytes(answer.headers()["grpc-status"].as_bytes())
}

async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = [0; 1024];
    while let Ok(1..) = stream.read(&mut buffer).await {}
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_whose_message_never_comes_hold_nobody_up_and_end_at_the_longest_deadline() {
    let change = |config: &mut GrpcConfig| {
        config.max_deadline = Duration::from_secs(2);
        config.max_concurrent_requests = 200;
    };
    let world = World::start_with(change).await;
    let mut calls = Vec::new();
    let mut callers = Vec::new();
    for _ in 0..4 {
        let caller = Rude::connect(&world, |_| {}).await;
        for _ in 0..100 {
            calls.push(caller.list_cart("99999999H", None).await);
        }
        callers.push(caller);
    }
    assert!(world.client().purchase(purchase(ANSWERED)).await.is_ok());
    for (answer, _body) in calls {
        assert_eq!(code(answer).await, Code::DeadlineExceeded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_one_connection_above_its_share_wait_for_their_turn_and_others_do_not() {
    let world = World::start_with(|config| config.max_concurrent_requests = 200).await;
    let client = world.client();
    client.clone().purchase(purchase(ANSWERED)).await.unwrap();
    let calls: Vec<_> = (0..200)
        .map(|_| {
            tokio::spawn({
                let mut client = client.clone();
                async move { client.purchase(purchase(WAITS)).await }
            })
        })
        .collect();
    eventually("a hundred calls run", || async { (world.script.waiting.load(Ordering::SeqCst) == 100).then_some(()) })
        .await;
    assert!(world.client().purchase(purchase(ANSWERED)).await.is_ok());
    assert_eq!(world.script.waiting.load(Ordering::SeqCst), 100);
    world.script.go_on.cancel();
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_cannot_take_all_places_of_a_service_that_has_few() {
    let world = World::start_with(|config| config.max_concurrent_requests = 8).await;
    let client = world.client();
    client.clone().purchase(purchase(ANSWERED)).await.unwrap();
    let calls: Vec<_> = (0..20)
        .map(|_| {
            tokio::spawn({
                let mut client = client.clone();
                async move { client.purchase(purchase(WAITS)).await }
            })
        })
        .collect();
    eventually("four calls run", || async { (world.script.waiting.load(Ordering::SeqCst) == 4).then_some(()) }).await;
    assert!(world.client().purchase(purchase(ANSWERED)).await.is_ok());
    world.script.go_on.cancel();
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_before_and_after_tls() {
    let world = World::start_with(|config| config.connections.first_request_timeout = Duration::from_millis(300)).await;
    let mut without_tls = tcp(&world, Ipv4Addr::LOCALHOST).await;
    let mut with_tls = tls(&world, Ipv4Addr::LOCALHOST).await.unwrap();
    let with_http = Rude::connect(&world, |_| {}).await;
    until_closed(&mut without_tls).await;
    until_closed(&mut with_tls).await;
    with_http.connection.await.unwrap();
}

#[tokio::test]
async fn a_connection_is_closed_when_it_is_idle_and_not_while_a_call_runs() {
    let world = World::start_with(|config| config.connections.idle_timeout = Duration::from_millis(300)).await;
    let running = tokio::spawn({
        let mut client = world.client();
        async move { client.purchase(purchase(WAITS)).await }
    });
    eventually("the call runs", || async { (world.script.waiting.load(Ordering::SeqCst) == 1).then_some(()) }).await;
    let idle = Rude::used(&world, Ipv4Addr::LOCALHOST).await;
    idle.connection.await.unwrap();

    world.script.go_on.cancel();
    assert!(running.await.unwrap().is_ok());
}

#[tokio::test]
async fn connections_above_the_limits_are_refused_and_those_of_others_are_not() {
    let world = World::start_with(|config| {
        config.connections.max = 3;
        config.connections.max_per_address = 2;
    })
    .await;
    let [here, elsewhere] = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)];
    let first = Rude::used(&world, here).await;
    let _second = Rude::used(&world, here).await;
    assert!(tls(&world, here).await.is_err(), "the third of one address");
    let _third = Rude::used(&world, elsewhere).await;
    assert!(tls(&world, elsewhere).await.is_err(), "the fourth in all");

    first.connection.abort();
    eventually("there is room again", || async { tls(&world, here).await.ok() }).await;
}

#[tokio::test]
async fn connections_without_a_request_make_room_for_others() {
    let world = World::start_with(|config| config.connections.max = 3).await;
    let _used = Rude::used(&world, Ipv4Addr::LOCALHOST).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(tls(&world, Ipv4Addr::LOCALHOST).await.unwrap());
    }
    let _another = Rude::used(&world, Ipv4Addr::LOCALHOST).await;
    for stream in &mut silent[..18] {
        until_closed(stream).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_takes_are_bounded_and_end_at_their_deadline() {
    let world = World::start().await;
    let reader = Rude::connect(&world, |http2| {
        http2.initial_window_size(0);
    })
    .await;
    let mut calls = Vec::new();
    for _ in 0..20 {
        calls.push(reader.list_cart("3S", Some(ListCartRequest { user: LARGE })).await);
    }
    let mut answers = Vec::new();
    let mut refused = 0;
    for (answer, _body) in calls {
        let answer = answer.await.unwrap();
        refused += usize::from(answer.headers().get("grpc-status").is_some_and(|code| code == "8"));
        answers.push(answer);
    }
    // Sixteen mebibytes are less than sixteen answers.
    assert_eq!(refused, 5);
    let mut client = world.client();
    let taken = client.list_cart(ListCartRequest { user: LARGE }).await.unwrap().into_inner();
    assert_eq!(taken.items[0].name.len(), 1024 * 1024);
    eventually("what nobody took is freed", || async { metrics_show("grpc_server_unread_bytes 0").then_some(()) })
        .await;
    assert!(metrics_show("grpc_server_untaken_answers_total 15"));
}
