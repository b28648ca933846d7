//! The processes that a fleet is made of.

use super::Service;

/// A process of the fleet. The broker may be an external one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Postgres,
    Broker,
    StandIn(StandIn),
    Observer(Observer),
    Service(Service),
}

/// A process that takes the place of a service that is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandIn {
    ProductService,
    Telegram,
}

/// A program that shows people what the fleet does. The fleet works without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observer {
    Alertmanager,
    Prometheus,
    Jaeger,
    Grafana,
}

impl Part {
    /// All parts, in the order of their start.
    pub fn all() -> impl Iterator<Item = Self> {
        let stand_ins = StandIn::ALL.into_iter().map(Self::StandIn);
        let observers = Observer::ALL.into_iter().map(Self::Observer);
        let services = Service::ALL.into_iter().map(Self::Service);
        [Self::Postgres, Self::Broker].into_iter().chain(stand_ins).chain(observers).chain(services)
    }

    /// Also the name of the log file, of a service's program, and of a stand-in's command of `stack`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Broker => "broker",
            Self::StandIn(StandIn::ProductService) => "product-service",
            Self::StandIn(StandIn::Telegram) => "telegram",
            Self::Observer(Observer::Alertmanager) => "alertmanager",
            Self::Observer(Observer::Prometheus) => "prometheus",
            Self::Observer(Observer::Jaeger) => "jaeger",
            Self::Observer(Observer::Grafana) => "grafana",
            Self::Service(service) => service.name(),
        }
    }
}

impl StandIn {
    /// In the order of their start.
    pub const ALL: [Self; 2] = [Self::ProductService, Self::Telegram];
}

impl Observer {
    /// In the order of their start.
    pub const ALL: [Self; 4] = [Self::Alertmanager, Self::Prometheus, Self::Jaeger, Self::Grafana];
}
