//! When a collector is away or slow, only spans are lost.

use std::{net::SocketAddr, path::Path};

use e2e::{World, log::lines_with, metrics::Exposition};
use futures::future::join_all;
use proto::{
    cart::{AddToCartRequest, PurchaseRequest},
    loms::OrderPayedRequest,
};
use stack::testing::eventually;
use stack::{
    collector::Collector,
    fleet::{Service, ServiceAddresses, Settings},
    ports,
};
use tonic::Status;

use crate::world::TracedWorld;

/// A SKU with more units than the tests need.
const PLENTY: u32 = 1704;
/// Fewer clients than the connections that a pool keeps open.
const CLIENTS: usize = 2;
const PURCHASES: usize = 10;

/// This has a fleet of its own, because the other tests need a collector that is never away.
pub async fn a_collector_that_is_away_or_stalls_is_told_of_once_and_no_client_notices(_: &TracedWorld) {
    let mut collector = Collector::start(ports::loopback(0)).unwrap();
    let otlp = Some(collector.url());
    collector.go_away();
    let world = World::start_with(|settings| Settings { otlp, ..settings }).await.unwrap();

    // The collector is away from the start.
    clients_are_served_and_spans_are_lost(&world).await;
    clients_are_served_and_spans_are_lost(&world).await;
    every_service_logged(&world, 1, 0).await;

    collector.come_back().await.unwrap();
    spans_arrive(&world, &collector).await;
    every_service_logged(&world, 1, 1).await;

    collector.stall();
    clients_are_served_and_spans_are_lost(&world).await;
    clients_are_served_and_spans_are_lost(&world).await;
    every_service_logged(&world, 2, 1).await;
    for service in Service::ALL {
        // The replica has spans that nobody takes. It must still stop in time, and not be killed for being slow.
        let replica = world.replica(service, &[]).await.unwrap();
        let log = replica.log.clone();
        let status = replica.stop().await.unwrap();
        assert!(status.success(), "{status}: {:#?}", lines_with(&log, &[]));
    }

    collector.answer();
    spans_arrive(&world, &collector).await;
    every_service_logged(&world, 2, 2).await;

    collector.go_away();
    clients_are_served_and_spans_are_lost(&world).await;
    every_service_logged(&world, 3, 2).await;
    world.stop().await;
}

fn services(world: &World) -> impl Iterator<Item = &ServiceAddresses> {
    Service::ALL.into_iter().map(|service| world.addresses.service(service))
}

/// Clients buy and pay without a failure, while every service loses spans.
async fn clients_are_served_and_spans_are_lost(world: &World) {
    let lost =
        async |admin: SocketAddr| Exposition::fetch(admin).await.unwrap().sum(r#"otlp_spans_total{result="failed"}"#);
    let before = join_all(services(world).map(|service| lost(service.admin))).await;
    clients_are_served(world).await;
    for (service, before) in services(world).zip(before) {
        eventually("spans are lost", || async { lost(service.admin).await.filter(|now| Some(*now) > before) }).await;
    }
}

async fn clients_are_served(world: &World) {
    let (checkout, loms) = (world.checkout().unwrap(), world.loms().unwrap());
    let clients = (0..CLIENTS).map(|_| {
        let (mut checkout, mut loms, user) = (checkout.clone(), loms.clone(), world.shopper());
        async move {
            for _ in 0..PURCHASES {
                checkout.add_to_cart(AddToCartRequest { user, sku: PLENTY, count: 1 }).await?;
                let order = checkout.purchase(PurchaseRequest { user, ..Default::default() }).await?;
                loms.order_payed(OrderPayedRequest { order_id: order.into_inner().order_id }).await?;
            }
            Ok(())
        }
    });
    let failures: Vec<Status> = join_all(clients).await.into_iter().filter_map(Result::err).collect();
    let logged = || services(world).flat_map(|service| lines_with(&service.log, &["call failed"])).collect::<Vec<_>>();
    assert!(failures.is_empty(), "{failures:?}\n{:#?}", logged());
}

/// Waits until the collector has new spans of every service.
async fn spans_arrive(world: &World, collector: &Collector) {
    let before = collector.spans().len();
    clients_are_served(world).await;
    eventually("spans of every service arrive", || async {
        let new = &collector.spans()[before..];
        let is_heard = |service: Service| new.iter().any(|span| span.service() == service.name());
        Service::ALL.into_iter().all(is_heard).then_some(())
    })
    .await;
}

/// Waits until every service has logged exactly so many failures of the collector, and so many recoveries.
async fn every_service_logged(world: &World, failures: usize, recoveries: usize) {
    let logged =
        |log: &Path| (lines_with(log, &["does not take spans"]).len(), lines_with(log, &["takes spans again"]).len());
    for service in services(world) {
        let enough =
            || async { Some(logged(&service.log)).filter(|logged| logged.0 >= failures && logged.1 >= recoveries) };
        assert_eq!(eventually("it is told", enough).await, (failures, recoveries), "{}", service.log.display());
    }
}
