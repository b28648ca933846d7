//! The processes that a fleet is made of.

use super::Service;

/// One process, or the broker, which may be somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The database server of all services.
    Postgres,
    /// What carries events.
    Broker,
    /// What stands for somebody else's service.
    StandIn(StandIn),
    /// What people look at the fleet with.
    Observer(Observer),
    /// What the fleet is for.
    Service(Service),
}

/// What stands for a service that is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandIn {
    /// For ProductService.
    ProductService,
    /// For Telegram's Bot API.
    Telegram,
}

/// What people look at the fleet with, where they asked for it. The fleet does without any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observer {
    /// Collects metrics.
    Prometheus,
    /// Collects traces.
    Jaeger,
    /// Shows both.
    Grafana,
}

impl Part {
    /// All, in the order of their start.
    pub fn all() -> impl Iterator<Item = Self> {
        let stand_ins = StandIn::ALL.into_iter().map(Self::StandIn);
        let observers = Observer::ALL.into_iter().map(Self::Observer);
        let services = Service::ALL.into_iter().map(Self::Service);
        [Self::Postgres, Self::Broker].into_iter().chain(stand_ins).chain(observers).chain(services)
    }

    /// Its name: a service's is its program's, a stand-in's is its command's, any log file's is this.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Broker => "broker",
            Self::StandIn(StandIn::ProductService) => "product-service",
            Self::StandIn(StandIn::Telegram) => "telegram",
            Self::Observer(Observer::Prometheus) => "prometheus",
            Self::Observer(Observer::Jaeger) => "jaeger",
            Self::Observer(Observer::Grafana) => "grafana",
            Self::Service(service) => service.name(),
        }
    }
}

impl StandIn {
    /// All, in the order of their start.
    pub const ALL: [Self; 2] = [Self::ProductService, Self::Telegram];
}

impl Observer {
    /// All, in the order of their start.
    pub const ALL: [Self; 3] = [Self::Prometheus, Self::Jaeger, Self::Grafana];
}
