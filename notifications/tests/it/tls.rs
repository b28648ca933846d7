//! Who may call, and whom callers believe.

use std::path::{Path, PathBuf};

use proto::notifications::{Date, GetHistoryWithPeriodRequest};
use stack::certs::Authority;
use tonic::Code;

use crate::world::{Client, World, certificates};

fn request() -> GetHistoryWithPeriodRequest {
    let day = Some(Date { year: 2026, month: 11, day: 22 });
    GetHistoryWithPeriodRequest { user: 1, from: day, to: day, ..Default::default() }
}

/// A certificate of another authority, and that authority's.
fn foreign(directory: &Path) -> (PathBuf, (PathBuf, PathBuf)) {
    let authority = Authority::new().unwrap();
    authority.issue("client").unwrap().write(directory, "foreign").unwrap();
    let ca = directory.join("foreign-ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    (ca, (directory.join("foreign.pem"), directory.join("foreign.key")))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_callers_with_a_certificate_of_the_ca_are_let_in_and_only_by_the_right_name() {
    let world = World::new().await;
    let replica = world.start().await;
    let directory = tempfile::tempdir().unwrap();
    let (foreign_ca, foreign) = foreign(directory.path());
    let (ca, certs) = (certificates().join("ca.pem"), certificates());
    let identity = Some((certs.join("client.pem"), certs.join("client.key")));
    let port = replica.address.port();
    let url = format!("https://localhost:{port}");
    let code = async |client: Client| client.call(request()).await.map_or_else(|status| status.code(), |_| Code::Ok);

    assert_eq!(code(Client::with(&url, &ca, identity.clone())).await, Code::Ok);
    assert_eq!(code(Client::with(&url, &ca, None)).await, Code::Unavailable, "without a certificate");
    assert_eq!(code(Client::with(&url, &ca, Some(foreign))).await, Code::Unavailable, "with a foreign one");
    assert_eq!(code(Client::with(&url, &foreign_ca, identity.clone())).await, Code::Unavailable, "trusting another CA");
    let other_name = format!("https://localhost.localdomain:{port}");
    let other_name =
        if resolves("localhost.localdomain").await { other_name } else { format!("https://127.0.0.2:{port}") };
    assert_eq!(code(Client::with(&other_name, &ca, identity.clone())).await, Code::Unavailable, "by another name");
    let plain = format!("http://localhost:{port}");
    assert_eq!(code(Client::with(&plain, &ca, identity)).await, Code::Unavailable, "in plaintext");
    replica.stop().await;
}

async fn resolves(name: &str) -> bool {
    tokio::net::lookup_host((name, 1)).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_the_port_is_plaintext() {
    let world = World::new().await;
    let mut config = world.config();
    config.service.grpc.tls = None;
    let replica = world.start_with(config).await;
    let ca = certificates().join("ca.pem");
    let client = Client::with(&format!("http://localhost:{}", replica.address.port()), &ca, None);
    assert!(client.call(request()).await.is_ok());
    replica.stop().await;
}
