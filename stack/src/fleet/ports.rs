//! Which port belongs to what.

use anyhow::bail;

use super::Part;
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
        checkout: ServicePorts { grpc: 50051, admin: 8190 },
        loms: ServicePorts { grpc: 50052, admin: 8181 },
        notifications: ServicePorts { grpc: 50053, admin: 8182 },
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
        let service = || -> std::io::Result<_> { Ok(ServicePorts { grpc: ports::free()?, admin: ports::free()? }) };
        Ok(Self {
            checkout: service()?,
            loms: service()?,
            notifications: service()?,
            product_service: ports::free()?,
            telegram: ports::free()?,
            postgres: ports::free()?,
            broker: ports::free()?,
            prometheus: ports::free()?,
            jaeger: ports::free()?,
            jaeger_otlp: ports::free()?,
            grafana: ports::free()?,
        })
    }

    /// Fails if something listens on one of them, naming all that are taken; those of parts that are not to be started
    /// do not count.
    pub(super) fn check(&self, is_started: impl Fn(Part) -> bool) -> anyhow::Result<()> {
        let wanted = [
            (Part::Postgres, self.postgres, "Postgres"),
            (Part::Broker, self.broker, "the broker"),
            (Part::ProductService, self.product_service, "the product service"),
            (Part::Telegram, self.telegram, "the Telegram stand-in"),
            (Part::Prometheus, self.prometheus, "Prometheus"),
            (Part::Jaeger, self.jaeger, "Jaeger"),
            (Part::Jaeger, self.jaeger_otlp, "Jaeger (OTLP)"),
            (Part::Grafana, self.grafana, "Grafana"),
            (Part::Loms, self.loms.grpc, "loms (gRPC)"),
            (Part::Loms, self.loms.admin, "loms (admin)"),
            (Part::Checkout, self.checkout.grpc, "checkout (gRPC)"),
            (Part::Checkout, self.checkout.admin, "checkout (admin)"),
            (Part::Notifications, self.notifications.grpc, "notifications (gRPC)"),
            (Part::Notifications, self.notifications.admin, "notifications (admin)"),
        ];
        let taken: Vec<_> = wanted
            .iter()
            .filter(|(part, port, _)| is_started(*part) && ports::is_taken(*port))
            .map(|(_, port, what)| format!("port {port} is taken, wanted for {what}"))
            .collect();
        if taken.is_empty() {
            return Ok(());
        }
        bail!("{}; stop what listens there and try again", taken.join("; "))
    }
}
