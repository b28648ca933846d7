//! Who checkout talks to, and who may talk to it.

use std::{fs, time::Duration};

use stack::certs::{Authority, Issued};
use tonic::Code;

use crate::{
    loms_stand_in::Loms,
    world::{World, connect},
};

/// Certificates that checkout must not accept of a LOMS or ProductService: of a foreign CA, and of another name.
fn impostors(world: &World, name: &str) -> [Issued; 2] {
    [Authority::new().unwrap().issue(name).unwrap(), world.authority.issue_for(&["other.example"]).unwrap()]
}

async fn come_back_as(loms: &mut Loms, world_dir: &std::path::Path, certificate: &Issued) {
    certificate.write(world_dir, "impostor").unwrap();
    let file = |name: &str| world_dir.join(name);
    loms.come_back_with(file("impostor.pem"), file("impostor.key"), file("ca.pem")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loms_that_cannot_prove_who_it_is_is_not_talked_to() {
    let mut world = World::new().await;
    let dir = world.cert("");
    for impostor in impostors(&world, "loms") {
        world.loms.die();
        come_back_as(&mut world.loms, &dir, &impostor).await;
        let checkout = world.checkout().await;
        let client = checkout.client_with_deadline(Duration::from_secs(2));
        assert_eq!(client.add(1, 1001, 1).await.unwrap_err().code(), Code::Unavailable);
    }
    assert_eq!(world.loms.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_service_that_cannot_prove_who_it_is_does_not_get_the_token() {
    let mut world = World::new().await;
    for impostor in impostors(&world, "product-service") {
        let checkout = world.checkout().await;
        world.products.die();
        world.products.come_back_with(&impostor).await;
        let client = checkout.client_with_deadline(Duration::from_secs(2));
        client.add(1, 1001, 1).await.unwrap();
        assert_eq!(client.list(1).await.unwrap_err().code(), Code::Unavailable);
        assert_eq!(world.products.lookups().len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loms_that_does_not_accept_our_certificate_is_unavailable() {
    let world = World::new().await;
    let stranger = Authority::new().unwrap().issue("checkout").unwrap();
    stranger.write(&world.cert(""), "stranger").unwrap();
    let identity = (world.cert("stranger.pem"), world.cert("stranger.key"));
    for identity in [None, Some(identity)] {
        let checkout = world.checkout_with(|config| config.client_tls.identity = identity).await;
        let client = checkout.client_with_deadline(Duration::from_secs(2));
        assert_eq!(client.add(1, 1001, 1).await.unwrap_err().code(), Code::Unavailable);
    }
    assert_eq!(world.loms.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_needs_no_certificate_but_must_trust_ours() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    checkout.client().list(1).await.unwrap();
    let request = || proto::cart::ListCartRequest { user: 1 };
    let foreign = Authority::new().unwrap();
    assert!(connect(checkout.address, foreign.pem()).list_cart(request()).await.is_err());
    let plaintext = tonic::transport::Endpoint::from_shared(format!("http://{}", checkout.address)).unwrap();
    let mut plaintext = proto::cart::cart_client::CartClient::new(plaintext.connect_lazy());
    assert!(plaintext.list_cart(request()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_in_its_configuration_the_port_is_plaintext() {
    let world = World::new().await;
    let checkout = world.checkout_with(|config| config.service.grpc.tls = None).await;
    let plaintext = tonic::transport::Endpoint::from_shared(format!("http://{}", checkout.address)).unwrap();
    let mut client = proto::cart::cart_client::CartClient::new(plaintext.connect_lazy());
    client.list_cart(proto::cart::ListCartRequest { user: 1 }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_change_on_disk_are_used_without_a_restart() {
    let mut world = World::new().await;
    let checkout = world.checkout().await;
    checkout.client().add(1, 1001, 1).await.unwrap();
    world.loms.die();
    let authority = stack::certs::generate(&world.cert("")).unwrap();
    world.loms.come_back().await;
    let ca = fs::read_to_string(world.cert("ca.pem")).unwrap();
    assert_eq!(ca, authority.pem());
    let client = connect(checkout.address, &ca);
    stack::testing::eventually("checkout trusts the new authority, and shows its new certificates", || {
        let request = proto::cart::AddToCartRequest { user: 1, sku: 1001, count: 1 };
        let mut client = client.clone();
        async move { client.add_to_cart(request).await.ok() }
    })
    .await;
}
