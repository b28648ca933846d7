//! The processes that a fleet is made of.

use serde::{Deserialize, Serialize};

/// One process, or the broker, which may be somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The database server of all three services.
    Postgres,
    /// What carries events.
    Broker,
    /// The stand-in for ProductService.
    ProductService,
    /// The stand-in for Telegram's Bot API.
    Telegram,
    /// What collects metrics, where people asked for it.
    Prometheus,
    /// What collects traces, where people asked for it.
    Jaeger,
    /// What shows both, where people asked for it.
    Grafana,
    /// Orders and stock.
    Loms,
    /// Carts and purchases.
    Checkout,
    /// Messages about orders.
    Notifications,
}

impl Part {
    /// All, in the order of their start.
    pub const ALL: [Self; 10] = [
        Self::Postgres,
        Self::Broker,
        Self::ProductService,
        Self::Telegram,
        Self::Prometheus,
        Self::Jaeger,
        Self::Grafana,
        Self::Loms,
        Self::Checkout,
        Self::Notifications,
    ];

    /// What people look at the fleet with. It does without any of them.
    pub const OBSERVERS: [Self; 3] = [Self::Prometheus, Self::Jaeger, Self::Grafana];

    /// The three services.
    pub const SERVICES: [Self; 3] = [Self::Loms, Self::Checkout, Self::Notifications];

    /// Whether the fleet goes on without it.
    pub fn only_observes(self) -> bool {
        Self::OBSERVERS.contains(&self)
    }

    /// Its name: a service's is its program's, a stand-in's is its command's, any log file's is this.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Broker => "broker",
            Self::ProductService => "product-service",
            Self::Telegram => "telegram",
            Self::Prometheus => "prometheus",
            Self::Jaeger => "jaeger",
            Self::Grafana => "grafana",
            Self::Loms => "loms",
            Self::Checkout => "checkout",
            Self::Notifications => "notifications",
        }
    }
}
