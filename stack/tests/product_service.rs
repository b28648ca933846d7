//! The stand-in for ProductService.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use proto::product::{
    GetProductRequest, ListSkusRequest, product_service_client::ProductServiceClient,
    product_service_server::SERVICE_NAME,
};
use stack::{
    certs::Authority,
    ports,
    product_service::{Fault, ProductService, TOKEN},
};
use tonic::{
    Code,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

struct World {
    authority: Authority,
    service: ProductService,
}

impl World {
    fn new() -> Self {
        let authority = Authority::new().unwrap();
        let certificate = authority.issue("product-service").unwrap();
        Self { service: ProductService::start(ports::loopback(0), &certificate).unwrap(), authority }
    }

    async fn connect(&self, ca: &str) -> Result<Channel, tonic::transport::Error> {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
        Endpoint::from_shared(self.service.url())?.tls_config(tls)?.connect().await
    }

    async fn client(&self) -> ProductServiceClient<Channel> {
        ProductServiceClient::new(self.connect(self.authority.pem()).await.unwrap())
    }
}

fn product(sku: u32) -> GetProductRequest {
    GetProductRequest { token: TOKEN.into(), sku }
}

#[tokio::test]
async fn products_are_named_and_unknown_ones_refused() {
    let world = World::new();
    let mut client = world.client().await;
    let answer = client.get_product(product(1001)).await.unwrap().into_inner();
    assert_eq!((answer.name.as_str(), answer.price), ("Cast-iron frying pan 26 cm", 2490));
    assert_eq!(client.get_product(product(7)).await.unwrap_err().code(), Code::NotFound);

    world.service.remove(1001);
    assert_eq!(client.get_product(product(1001)).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn skus_are_listed_page_by_page() {
    let world = World::new();
    let mut client = world.client().await;
    let mut page = async |start_after_sku, count| {
        let request = ListSkusRequest { token: TOKEN.into(), start_after_sku, count };
        client.list_skus(request).await.unwrap().into_inner().skus
    };
    assert_eq!(page(0, 3).await, [1001, 1002, 1003]);
    assert_eq!(page(1003, 2).await, [1004, 1005]);
    assert_eq!(page(1911, 50).await, [1912]);
    assert!(page(1912, 50).await.is_empty());
    assert_eq!(page(0, u32::MAX).await.len(), 120);
    assert_eq!(page(u32::MAX, u32::MAX).await.len(), 0);
}

#[tokio::test]
async fn a_wrong_token_is_refused() {
    let world = World::new();
    let request = GetProductRequest { token: "guess".into(), sku: 1001 };
    assert_eq!(world.client().await.get_product(request).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_client_that_does_not_trust_its_authority_does_not_connect() {
    let world = World::new();
    assert!(world.connect(Authority::new().unwrap().pem()).await.is_err());
}

#[tokio::test]
async fn it_misbehaves_as_asked_and_notes_every_call() {
    let world = World::new();
    let mut client = world.client().await;
    world.service.misbehave(Fault::Answer(Code::Unavailable), 2);
    world.service.misbehave(Fault::Delay(Duration::from_millis(30)), 1);
    world.service.misbehave(Fault::Hang, 1);
    for _ in 0..2 {
        assert_eq!(client.get_product(product(1001)).await.unwrap_err().code(), Code::Unavailable);
    }
    client.get_product(product(1002)).await.unwrap();
    let mut hopeless = tonic::Request::new(product(1003));
    hopeless.set_timeout(Duration::from_millis(50));
    assert!(client.get_product(hopeless).await.is_err());
    client.get_product(product(1004)).await.unwrap();

    let calls = world.service.calls();
    let skus: Vec<_> = calls.iter().map(|call| call.sku).collect();
    assert_eq!(skus, [1001, 1001, 1002, 1003, 1004].map(Some));
    assert!(calls[3].at - calls[2].at >= Duration::from_millis(30));
}

#[tokio::test]
async fn its_health_is_known_by_name() {
    let world = World::new();
    let channel = world.connect(world.authority.pem()).await.unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    for service in ["", SERVICE_NAME] {
        let request = tonic_health::pb::HealthCheckRequest { service: service.into() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
    }
}

#[tokio::test]
async fn a_dropped_one_cuts_its_connections() {
    let world = World::new();
    let mut client = world.client().await;
    client.get_product(product(1001)).await.unwrap();
    let address = world.service.address();
    drop(world);
    assert!(client.get_product(product(1001)).await.is_err());
    assert!(!ports::is_taken(address.port()));
}
