//! Which port belongs to what.

use anyhow::bail;

use super::{Observer, Part, Service, StandIn};
use crate::ports;

/// The ports of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServicePorts {
    /// For callers.
    pub grpc: u16,
    /// For operators.
    pub admin: u16,
}

/// Every port of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The services', in the order of [`Service::ALL`].
    pub services: [ServicePorts; Service::ALL.len()],
    /// The ProductService stand-in's.
    pub product_service: u16,
    /// The Telegram stand-in's.
    pub telegram: u16,
    /// The database server's.
    pub postgres: u16,
    /// The broker's.
    pub broker: u16,
    /// Prometheus's, where there is one.
    pub prometheus: u16,
    /// That of Jaeger's interface, where there is one.
    pub jaeger: u16,
    /// Jaeger's for spans, OTLP/gRPC.
    pub jaeger_otlp: u16,
    /// Grafana's, where there is one.
    pub grafana: u16,
}

impl Ports {
    /// Those that the fleet is known by.
    pub const DEFAULT: Self = Self {
        services: [Service::Loms.facts().ports, Service::Checkout.facts().ports, Service::Notifications.facts().ports],
        product_service: 50054,
        telegram: 8091,
        postgres: 5440,
        broker: 9092,
        prometheus: 9090,
        jaeger: 16686,
        jaeger_otlp: 4317,
        grafana: 3000,
    };

    /// Ports that nothing uses, so that a fleet can run beside another.
    pub fn free() -> std::io::Result<Self> {
        let mut free = Self::DEFAULT;
        for (_, _, port) in free.each() {
            *port = ports::free()?;
        }
        Ok(free)
    }

    /// A service's.
    pub fn service(&self, service: Service) -> ServicePorts {
        self.services[service as usize]
    }

    /// Fails if something listens on one of them, naming all that are taken; those of parts that are not to be started
    /// do not count.
    pub(super) fn check(mut self, is_started: impl Fn(Part) -> bool) -> anyhow::Result<()> {
        let wanted = self.each().into_iter().filter(|(part, ..)| is_started(*part));
        let taken = wanted.filter(|(_, _, port)| ports::is_taken(**port));
        let taken: Vec<_> = taken.map(|(_, what, port)| format!("port {port} is taken, wanted for {what}")).collect();
        if taken.is_empty() {
            return Ok(());
        }
        bail!("{}; stop what listens there and try again", taken.join("; "))
    }

    /// Each, with the part that listens there and what for.
    fn each(&mut self) -> Vec<(Part, String, &mut u16)> {
        let mut each = vec![
            (Part::Postgres, "Postgres".into(), &mut self.postgres),
            (Part::Broker, "the broker".into(), &mut self.broker),
            (Part::StandIn(StandIn::ProductService), "the product service".into(), &mut self.product_service),
            (Part::StandIn(StandIn::Telegram), "the Telegram stand-in".into(), &mut self.telegram),
            (Part::Observer(Observer::Prometheus), "Prometheus".into(), &mut self.prometheus),
            (Part::Observer(Observer::Jaeger), "Jaeger".into(), &mut self.jaeger),
            (Part::Observer(Observer::Jaeger), "Jaeger (OTLP)".into(), &mut self.jaeger_otlp),
            (Part::Observer(Observer::Grafana), "Grafana".into(), &mut self.grafana),
        ];
        for (service, ports) in Service::ALL.into_iter().zip(&mut self.services) {
            each.push((Part::Service(service), format!("{} (gRPC)", service.name()), &mut ports.grpc));
            each.push((Part::Service(service), format!("{} (admin)", service.name()), &mut ports.admin));
        }
        each
    }
}
