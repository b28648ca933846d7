//! The services of a fleet, and all that it knows of each.

use proto::{cart::cart_server, loms::loms_server, notifications::notifications_server};

use super::ServicePorts;

/// A service. They are declared in the order of their start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Orders and stock.
    Loms,
    /// Carts and purchases.
    Checkout,
    /// Messages about orders.
    Notifications,
}

/// What a fleet knows of a service.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// Its name: that of its program, its certificate, its database and its job in Prometheus.
    pub name: &'static str,
    /// The full name of its gRPC service.
    pub rpc: &'static str,
    /// Where it listens in a fleet on the ports that fleets are known by.
    pub ports: ServicePorts,
    /// The port of a Graylog's input for its log.
    pub graylog_port: u16,
    /// The variable that names its database to `make migrate`.
    pub database_variable: &'static str,
}

impl Service {
    /// All, in the order of their start.
    pub const ALL: [Self; 3] = [Self::Loms, Self::Checkout, Self::Notifications];

    /// What is known of it.
    pub const fn facts(self) -> Facts {
        match self {
            Self::Loms => Facts {
                name: "loms",
                rpc: loms_server::SERVICE_NAME,
                ports: ServicePorts { grpc: 50052, admin: 8181 },
                graylog_port: 12202,
                database_variable: "LOMS_POSTGRES_URL",
            },
            Self::Checkout => Facts {
                name: "checkout",
                rpc: cart_server::SERVICE_NAME,
                ports: ServicePorts { grpc: 50051, admin: 8190 },
                graylog_port: 12201,
                database_variable: "CH_POSTGRES_URL",
            },
            Self::Notifications => Facts {
                name: "notifications",
                rpc: notifications_server::SERVICE_NAME,
                ports: ServicePorts { grpc: 50053, admin: 8182 },
                graylog_port: 12203,
                database_variable: "NOTIF_POSTGRES_URL",
            },
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }
}
