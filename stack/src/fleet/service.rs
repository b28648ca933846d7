//! The services of the fleet, and what the fleet knows about each of them.

use proto::{cart::cart_server, loms::loms_server, notifications::notifications_server};

use super::ServicePorts;

/// The order of the variants must be that of [`Service::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    Loms,
    Checkout,
    Notifications,
}

#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// Also the name of the program, of the certificate, of the database and of the job in Prometheus.
    pub name: &'static str,
    /// The full name of the gRPC service.
    pub rpc: &'static str,
    /// The ports that the documentation names.
    pub ports: ServicePorts,
    /// The port of the Graylog input that receives the service's log.
    pub graylog_port: u16,
    /// The environment variable with the address of the database, for `make migrate`.
    pub database_variable: &'static str,
}

impl Service {
    /// In the order of their start.
    pub const ALL: [Self; 3] = [Self::Loms, Self::Checkout, Self::Notifications];

    pub const fn facts(self) -> Facts {
        match self {
            Self::Loms => Facts {
                name: "loms",
                rpc: loms_server::SERVICE_NAME,
                ports: ServicePorts { grpc: 50052, http: 8081, admin: 8181 },
                graylog_port: 12202,
                database_variable: "LOMS_POSTGRES_URL",
            },
            Self::Checkout => Facts {
                name: "checkout",
                rpc: cart_server::SERVICE_NAME,
                ports: ServicePorts { grpc: 50051, http: 8090, admin: 8190 },
                graylog_port: 12201,
                database_variable: "CH_POSTGRES_URL",
            },
            Self::Notifications => Facts {
                name: "notifications",
                rpc: notifications_server::SERVICE_NAME,
                ports: ServicePorts { grpc: 50053, http: 8082, admin: 8182 },
                graylog_port: 12203,
                database_variable: "NOTIF_POSTGRES_URL",
            },
        }
    }

    pub const fn name(self) -> &'static str {
        self.facts().name
    }
}
