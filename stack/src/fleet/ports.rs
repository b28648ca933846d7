//! Which port belongs to what.

use anyhow::bail;

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
    /// Checkout's.
    pub checkout: ServicePorts,
    /// LOMS's.
    pub loms: ServicePorts,
    /// Notifications'.
    pub notifications: ServicePorts,
    /// The ProductService stand-in's.
    pub product_service: u16,
    /// The Telegram stand-in's.
    pub telegram: u16,
    /// The database server's.
    pub postgres: u16,
    /// The broker's.
    pub broker: u16,
}

impl Ports {
    /// Those that the fleet is known by.
    pub const DEFAULT: Self = Self {
        checkout: ServicePorts { grpc: 50051, admin: 8190 },
        loms: ServicePorts { grpc: 50052, admin: 8181 },
        notifications: ServicePorts { grpc: 50053, admin: 8182 },
        product_service: 50054,
        telegram: 8091,
        postgres: 5440,
        broker: 9092,
    };

    /// Ports that nothing uses, so that a fleet can run beside another.
    pub fn free() -> std::io::Result<Self> {
        let service = || -> std::io::Result<_> { Ok(ServicePorts { grpc: ports::free()?, admin: ports::free()? }) };
        Ok(Self {
            checkout: service()?,
            loms: service()?,
            notifications: service()?,
            product_service: ports::free()?,
            telegram: ports::free()?,
            postgres: ports::free()?,
            broker: ports::free()?,
        })
    }

    /// Fails if something listens on one of them, naming all that are taken; the broker's counts only if one is to be
    /// started.
    pub(super) fn check(&self, own_broker: bool) -> anyhow::Result<()> {
        let wanted = [
            (self.postgres, "Postgres"),
            (self.broker, "the broker"),
            (self.product_service, "the product service"),
            (self.telegram, "the Telegram stand-in"),
            (self.loms.grpc, "loms (gRPC)"),
            (self.loms.admin, "loms (admin)"),
            (self.checkout.grpc, "checkout (gRPC)"),
            (self.checkout.admin, "checkout (admin)"),
            (self.notifications.grpc, "notifications (gRPC)"),
            (self.notifications.admin, "notifications (admin)"),
        ];
        let taken: Vec<_> = wanted
            .iter()
            .filter(|(port, _)| own_broker || *port != self.broker)
            .filter(|(port, _)| ports::is_taken(*port))
            .map(|(port, what)| format!("port {port} is taken, wanted for {what}"))
            .collect();
        if taken.is_empty() {
            return Ok(());
        }
        bail!("{}; stop what listens there and try again", taken.join("; "))
    }
}
