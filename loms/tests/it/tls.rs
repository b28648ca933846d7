//! Who may speak with LOMS, and with whom a client would speak.

use platform::{
    config::service::{ClientTlsConfig, ServerTlsConfig},
    tls::ClientTls,
};
use proto::loms::{StocksRequest, loms_client::LomsClient};
use stack::certs::{Authority, CA_FILE};
use tempfile::TempDir;
use tonic::{Code, Status};

use crate::world::{CERTS, Running, World, channel_with};

/// Certificates of an authority that nobody here knows.
fn foreign() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    authority.issue("client").unwrap().write(dir.path(), "client").unwrap();
    authority.issue("loms").unwrap().write(dir.path(), "loms").unwrap();
    std::fs::write(dir.path().join(CA_FILE), authority.pem()).unwrap();
    dir
}

/// Calls LOMS as a client that trusts one directory's authority and shows another directory's certificate.
async fn call(url: &str, trusted: &TempDir, shown: Option<&TempDir>) -> Result<(), Status> {
    let identity = shown.map(|dir| (dir.path().join("client.pem"), dir.path().join("client.key")));
    let tls = ClientTls::load(&ClientTlsConfig { ca: trusted.path().join(CA_FILE), identity }).unwrap();
    LomsClient::new(channel_with(url, &tls)).stocks(StocksRequest { sku: 7 }).await.map(|_| ())
}

#[track_caller]
fn assert_unreachable(answer: Result<(), Status>) {
    assert_eq!(answer.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn only_a_caller_with_a_certificate_of_the_authority_is_heard() {
    let world = World::with_stock(&[]).await;
    let loms = world.loms().await;
    let (ours, foreign) = (&CERTS.dir, foreign());
    call(&loms.url(), ours, Some(ours)).await.unwrap();
    assert_unreachable(call(&loms.url(), ours, None).await);
    assert_unreachable(call(&loms.url(), ours, Some(&foreign)).await);
}

#[tokio::test]
async fn a_client_does_not_speak_with_a_server_it_has_no_reason_to_trust() {
    let world = World::with_stock(&[]).await;
    let loms = world.loms().await;
    assert_unreachable(call(&loms.url(), &foreign(), Some(&CERTS.dir)).await);
}

#[tokio::test]
async fn a_client_does_not_speak_with_a_server_of_another_name() {
    let world = World::with_stock(&[]).await;
    let elsewhere = tempfile::tempdir().unwrap();
    CERTS.authority.issue_for(&["loms.elsewhere.example"]).unwrap().write(elsewhere.path(), "loms").unwrap();
    let mut config = world.config();
    config.service.grpc.tls = Some(ServerTlsConfig {
        certificate: elsewhere.path().join("loms.pem"),
        key: elsewhere.path().join("loms.key"),
        client_ca: Some(CERTS.path(CA_FILE)),
    });
    let loms = Running::start(config).await;
    assert_unreachable(call(&loms.url(), &CERTS.dir, Some(&CERTS.dir)).await);
}

#[tokio::test]
async fn a_plaintext_caller_is_not_heard_unless_the_configuration_leaves_tls_out() {
    let world = World::with_stock(&[]).await;
    let loms = world.loms().await;
    assert_unreachable(call(&loms.url().replace("https", "http"), &CERTS.dir, None).await);

    let mut config = world.config();
    config.service.grpc.tls = None;
    let plain = Running::start(config).await;
    call(&plain.url().replace("https", "http"), &CERTS.dir, None).await.unwrap();
}
