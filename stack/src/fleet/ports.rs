//! The ports that a fleet listens on.

use anyhow::bail;

use super::{Observer, Part, Service, StandIn};
use crate::ports;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServicePorts {
    pub grpc: u16,
    pub http: u16,
    pub admin: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// In the order of [`Service::ALL`].
    pub services: [ServicePorts; Service::ALL.len()],
    pub product_service: u16,
    pub telegram: u16,
    pub postgres: u16,
    pub broker: u16,
    pub alertmanager: u16,
    pub prometheus: u16,
    /// The web interface.
    pub jaeger: u16,
    /// The receiver of spans: OTLP/gRPC.
    pub jaeger_otlp: u16,
    pub grafana: u16,
}

impl Ports {
    /// The ports that the documentation names.
    pub const DEFAULT: Self = Self {
        services: [Service::Loms.facts().ports, Service::Checkout.facts().ports, Service::Notifications.facts().ports],
        product_service: 50054,
        telegram: 8091,
        postgres: 5440,
        broker: 9092,
        alertmanager: 9093,
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

    pub fn service(&self, service: Service) -> ServicePorts {
        self.services[service as usize]
    }

    /// Fails if something listens on the port of a part that is to be started. The error names all such ports.
    pub(super) fn check(mut self, is_started: impl Fn(Part) -> bool) -> anyhow::Result<()> {
        let wanted = self.each().into_iter().filter(|(part, ..)| is_started(*part));
        let taken = wanted.filter(|(_, _, port)| ports::is_taken(**port));
        let taken: Vec<_> = taken.map(|(_, what, port)| format!("port {port} is taken, wanted for {what}")).collect();
        if taken.is_empty() {
            return Ok(());
        }
        bail!("{}; stop what listens there and try again", taken.join("; "))
    }

    /// Every port, with the part that listens on it and its name in messages.
    fn each(&mut self) -> Vec<(Part, String, &mut u16)> {
        let mut each = vec![
            (Part::Postgres, "Postgres".into(), &mut self.postgres),
            (Part::Broker, "the broker".into(), &mut self.broker),
            (Part::StandIn(StandIn::ProductService), "the product service".into(), &mut self.product_service),
            (Part::StandIn(StandIn::Telegram), "the Telegram stand-in".into(), &mut self.telegram),
            (Part::Observer(Observer::Alertmanager), "Alertmanager".into(), &mut self.alertmanager),
            (Part::Observer(Observer::Prometheus), "Prometheus".into(), &mut self.prometheus),
            (Part::Observer(Observer::Jaeger), "Jaeger".into(), &mut self.jaeger),
            (Part::Observer(Observer::Jaeger), "Jaeger (OTLP)".into(), &mut self.jaeger_otlp),
            (Part::Observer(Observer::Grafana), "Grafana".into(), &mut self.grafana),
        ];
        for (service, ports) in Service::ALL.into_iter().zip(&mut self.services) {
            each.push((Part::Service(service), format!("{} (gRPC)", service.name()), &mut ports.grpc));
            each.push((Part::Service(service), format!("{} (HTTP)", service.name()), &mut ports.http));
            each.push((Part::Service(service), format!("{} (admin)", service.name()), &mut ports.admin));
        }
        each
    }
}
