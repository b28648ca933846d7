//! TLS, changed certificates, and draining.

use std::sync::atomic::Ordering;

use stack::certs::{Authority, Issued};
use stack::testing::eventually;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::world::{ANSWERED, MAYBE, WAITS, World, purchase};

#[tokio::test]
async fn a_server_of_a_foreign_ca_is_not_talked_to() {
    let world = World::start().await;
    let foreign = world.certs.path().join("foreign.pem");
    std::fs::write(&foreign, Authority::new().unwrap().pem()).unwrap();
    let url = format!("https://localhost:{}", world.port);
    let status = world.client_of(&url, &foreign, None).purchase(purchase(ANSWERED)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_server_whose_certificate_has_another_name_is_not_talked_to() {
    let world = World::start().await;
    world.authority.issue_for(&["elsewhere"]).unwrap().write(world.certs.path(), "checkout").unwrap();
    let status = world.client().purchase(purchase(ANSWERED)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_port_with_tls_does_not_answer_plaintext() {
    let world = World::start().await;
    let url = format!("http://localhost:{}", world.port);
    let ca = world.certs.path().join("ca.pem");
    let status = world.client_of(&url, &ca, None).purchase(purchase(ANSWERED)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_port_without_tls_answers_plaintext() {
    let world = World::start_with(|config| config.tls = None).await;
    let url = format!("http://localhost:{}", world.port);
    let ca = world.certs.path().join("ca.pem");
    assert!(world.client_of(&url, &ca, None).purchase(purchase(ANSWERED)).await.is_ok());
}

#[tokio::test]
async fn a_port_with_a_client_ca_refuses_callers_without_a_certificate_of_it() {
    let world = World::start_with(|config| {
        let tls = config.tls.as_mut().unwrap();
        tls.client_ca = Some(tls.certificate.with_file_name("ca.pem"));
    })
    .await;
    let dir = world.certs.path();
    let url = format!("https://localhost:{}", world.port);
    let identity = |name: &str| Some((dir.join(format!("{name}.pem")), dir.join(format!("{name}.key"))));
    let call = |identity| {
        let mut client = world.client_of(&url, &dir.join("ca.pem"), identity);
        async move { client.purchase(purchase(ANSWERED)).await.map_err(|status| status.code()) }
    };
    assert_eq!(call(None).await.unwrap_err(), Code::Unavailable);
    Authority::new().unwrap().issue("client").unwrap().write(dir, "stranger").unwrap();
    assert_eq!(call(identity("stranger")).await.unwrap_err(), Code::Unavailable);
    assert!(call(identity("client")).await.is_ok());
}

#[tokio::test]
async fn certificates_that_change_on_disk_are_used_by_the_next_connection() {
    let world = World::start().await;
    assert!(world.client().purchase(purchase(ANSWERED)).await.is_ok());

    // Both ends get a new CA. A new client reads it for the first time, an old client reads it again.
    let before = world.client();
    let authority = stack::certs::generate(world.certs.path()).unwrap();
    assert!(world.client().purchase(purchase(ANSWERED)).await.is_ok());
    assert!(before.clone().purchase(purchase(ANSWERED)).await.is_ok());

    // Files that cannot be used change nothing.
    Issued { certificate: "nonsense".into(), key: "nonsense".into() }.write(world.certs.path(), "checkout").unwrap();
    assert!(world.client().purchase(purchase(ANSWERED)).await.is_ok());
    drop(authority);
}

#[tokio::test]
async fn a_draining_server_finishes_the_calls_that_run_and_takes_no_new_connection() {
    let world = World::start().await;
    let call = tokio::spawn({
        let mut client = world.client();
        async move { client.purchase(purchase(WAITS)).await }
    });
    eventually("the call runs", || async { (world.script.waiting.load(Ordering::SeqCst) == 1).then_some(()) }).await;
    world.drain.cancel();
    let address = ("127.0.0.1", world.port);
    eventually("connections are refused", || async {
        tokio::net::TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;
    assert!(!world.served.is_finished());
    world.script.go_on.cancel();
    assert!(call.await.unwrap().is_ok());
    world.served.await.unwrap();
}

/// Passes the first connection to one port, and all others to another one.
async fn neighbours(first: u16, other: u16) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut to = first;
        while let Ok((mut caller, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                // Whoever closes it first, it is over.
                let _ = copy_bidirectional(&mut caller, &mut server).await;
            });
            to = other;
        }
    });
    port
}

#[tokio::test]
async fn a_server_on_which_calls_fail_in_a_row_is_left_for_its_neighbour() {
    let (failing, healthy) = (World::start().await, World::start().await);
    failing.script.is_unavailable.store(true, Ordering::SeqCst);
    // The neighbours have one name, and so one certificate.
    for file in ["checkout.pem", "checkout.key"] {
        std::fs::copy(failing.certs.path().join(file), healthy.certs.path().join(file)).unwrap();
    }
    let port = neighbours(failing.port, healthy.port).await;
    let url = format!("https://localhost:{port}");
    let client = failing.client_of(&url, &failing.certs.path().join("ca.pem"), None);
    let status = client.clone().purchase(purchase(MAYBE)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    eventually("the neighbour answers", || async { client.clone().purchase(purchase(MAYBE)).await.ok() }).await;
}

/// Passes connections on. Those that are open when `freeze` is cancelled stay open, and nothing passes any more.
async fn proxy(to: u16, freeze: CancellationToken) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = listener.accept().await {
            let freeze = if freeze.is_cancelled() { CancellationToken::new() } else { freeze.clone() };
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                if freeze.run_until_cancelled(copy_bidirectional(&mut caller, &mut server)).await.is_none() {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_call_on_a_connection_that_does_not_answer_is_answered_on_another_within_its_deadline() {
    let world = World::start().await;
    let freeze = CancellationToken::new();
    let port = proxy(world.port, freeze.clone()).await;
    let url = format!("https://localhost:{port}");
    let mut client = world.client_of(&url, &world.certs.path().join("ca.pem"), None);
    client.purchase(purchase(ANSWERED)).await.unwrap();
    freeze.cancel();
    assert_eq!(client.purchase(purchase(ANSWERED)).await.unwrap().into_inner().order_id, ANSWERED);
}
