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
    /// Orders and stock.
    Loms,
    /// Carts and purchases.
    Checkout,
    /// Messages about orders.
    Notifications,
}

impl Part {
    /// All, in the order of their start.
    pub const ALL: [Self; 7] = [
        Self::Postgres,
        Self::Broker,
        Self::ProductService,
        Self::Telegram,
        Self::Loms,
        Self::Checkout,
        Self::Notifications,
    ];

    /// The three services.
    pub const SERVICES: [Self; 3] = [Self::Loms, Self::Checkout, Self::Notifications];

    /// Its name: a service's is its program's, a stand-in's is its command's, any log file's is this.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Broker => "broker",
            Self::ProductService => "product-service",
            Self::Telegram => "telegram",
            Self::Loms => "loms",
            Self::Checkout => "checkout",
            Self::Notifications => "notifications",
        }
    }
}
