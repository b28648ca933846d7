//! A collector that is away or slow costs its spans and nothing else.

use std::{net::SocketAddr, path::Path};

use e2e::World;
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

use crate::world::{Observed, lines, metric, replica};

/// A SKU of which there is plenty.
const PLENTY: u32 = 1704;
/// How many clients there are at once, fewer than a pool keeps connections open, and how often each buys.
const CLIENTS: usize = 2;
const PURCHASES: usize = 10;

/// On a fleet of its own, as the collector of one would miss what the other tests look for.
pub async fn a_collector_that_is_away_or_stalls_is_told_of_once_and_no_client_notices(_: &Observed) {
    let mut collector = Collector::start(ports::loopback(0)).unwrap();
    let otlp = Some(collector.url());
    collector.go_away();
    let world = World::start_with(|settings| Settings { otlp, ..settings }).await.unwrap();

    // Away from the beginning.
    clients_are_served_and_spans_are_lost(&world).await;
    clients_are_served_and_spans_are_lost(&world).await;
    everybody_told(&world, 1, 0).await;

    collector.come_back().await.unwrap();
    spans_arrive(&world, &collector).await;
    everybody_told(&world, 1, 1).await;

    collector.stall();
    clients_are_served_and_spans_are_lost(&world).await;
    clients_are_served_and_spans_are_lost(&world).await;
    everybody_told(&world, 2, 1).await;
    for service in Service::ALL {
        // With spans that nobody takes: it ends by itself, and was not killed for being slow.
        let replica = replica(service, &world.addresses, &[]).await;
        let log = replica.log.clone();
        let status = replica.stop().await.unwrap();
        assert!(status.success(), "{status}: {:#?}", lines(&log, &[]));
    }

    collector.answer();
    spans_arrive(&world, &collector).await;
    everybody_told(&world, 2, 2).await;

    collector.go_away();
    clients_are_served_and_spans_are_lost(&world).await;
    everybody_told(&world, 3, 2).await;
    world.stop().await;
}

fn services(world: &World) -> impl Iterator<Item = &ServiceAddresses> {
    Service::ALL.into_iter().map(|service| world.addresses.service(service))
}

/// Many clients buy and pay at once, and none meets a failure; meanwhile every service loses spans.
async fn clients_are_served_and_spans_are_lost(world: &World) {
    let lost = |admin: SocketAddr| metric(admin, "otlp_spans_total", &["result=\"failed\""]);
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
    let logged = || services(world).flat_map(|service| lines(&service.log, &["call failed"])).collect::<Vec<_>>();
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

/// Waits until every service has said so often that the collector takes no spans, and that it does again; more often
/// is too often.
async fn everybody_told(world: &World, trouble: usize, end: usize) {
    let told = |log: &Path| (lines(log, &["does not take spans"]).len(), lines(log, &["takes spans again"]).len());
    for service in services(world) {
        let enough = || async { Some(told(&service.log)).filter(|told| told.0 >= trouble && told.1 >= end) };
        assert_eq!(eventually("it is told", enough).await, (trouble, end), "{}", service.log.display());
    }
}
