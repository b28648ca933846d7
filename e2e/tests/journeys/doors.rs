//! Which clients the services let in, and what every service offers besides its RPCs.

use e2e::World;
use proto::{cart::ListCartRequest, loms::StocksRequest, notifications::GetHistoryWithPeriodRequest};
use stack::{certs, fleet::Service, testing::eventually};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tonic_reflection::pb::v1alpha;

pub async fn strangers_are_refused_where_a_certificate_is_demanded_and_served_where_it_is_not(world: &World) {
    let stocks = StocksRequest { sku: 1 };
    assert_eq!(world.loms_without_certificate().unwrap().stocks(stocks).await.unwrap_err().code(), Code::Unavailable);
    assert!(world.loms().unwrap().stocks(stocks).await.is_ok());

    let history = GetHistoryWithPeriodRequest { user: 1, ..Default::default() };
    let mut stranger = world.notifications_without_certificate().unwrap();
    assert_eq!(stranger.get_history_with_period(history.clone()).await.unwrap_err().code(), Code::Unavailable);
    let status = world.notifications().unwrap().get_history_with_period(history).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "the request reached the service, which found it wanting");

    let cart = ListCartRequest { user: world.shopper() };
    assert!(world.checkout().unwrap().list_cart(cart).await.is_ok());
}

pub async fn every_service_has_health_reflection_metrics_and_a_trace_id(world: &World) {
    for service in Service::ALL {
        let (addresses, service) = (world.addresses.service(service), service.facts().rpc);
        let channel = channel_to(world, addresses.grpc.port());
        for name in ["", service] {
            let request = HealthCheckRequest { service: name.into() };
            let status = HealthClient::new(channel.clone()).check(request).await.unwrap().into_inner().status();
            assert_eq!(status, ServingStatus::Serving, "{service}");
        }
        assert!(reflected_services(channel.clone()).await.contains(&service.to_owned()));
        let mut older = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
        let request = v1alpha::ServerReflectionRequest::default();
        older.server_reflection_info(futures::stream::iter([request])).await.expect("older clients find it too");

        let admin = |path: &str| reqwest::get(format!("http://{}{path}", addresses.admin));
        for path in ["/livez", "/readyz"] {
            assert!(admin(path).await.unwrap().status().is_success(), "{service} {path}");
        }
        let metrics = admin("/metrics").await.unwrap().text().await.unwrap();
        assert!(metrics.contains("grpc_server_handled_total") && metrics.contains(service), "{metrics}");
    }
    let answer = eventually("a cart is listed", || async {
        world.checkout().unwrap().list_cart(ListCartRequest { user: world.shopper() }).await.ok()
    })
    .await;
    let trace_id = answer.metadata().get("x-trace-id").unwrap().to_str().unwrap();
    assert!(trace_id.len() == 32 && trace_id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{trace_id}");
}

/// A channel without anything of ours, as any gRPC client would make it.
pub fn channel_to(world: &World, port: u16) -> Channel {
    let tls = certs::client_tls(&world.addresses.certs).unwrap();
    Endpoint::from_shared(format!("https://localhost:{port}")).unwrap().tls_config(tls).unwrap().connect_lazy()
}

async fn reflected_services(channel: Channel) -> Vec<String> {
    let request = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let mut client = ServerReflectionClient::new(channel);
    let answers = client.server_reflection_info(futures::stream::iter([request])).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    match answer.message_response.unwrap() {
        MessageResponse::ListServicesResponse(list) => list.service.into_iter().map(|service| service.name).collect(),
        MessageResponse::FileDescriptorResponse(_)
        | MessageResponse::AllExtensionNumbersResponse(_)
        | MessageResponse::ErrorResponse(_) => panic!("not a list of services"),
    }
}
