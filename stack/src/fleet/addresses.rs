//! Where everything of a running fleet is, for whoever uses it: written to `fleet.json`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Installed, Part, Ports, ServicePorts, Settings, state::State};
use crate::ports::loopback;

/// Where a fleet is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Addresses {
    /// Checkout.
    pub checkout: ServiceAddresses,
    /// LOMS.
    pub loms: ServiceAddresses,
    /// Notifications.
    pub notifications: ServiceAddresses,
    /// The ProductService stand-in: gRPC with TLS.
    pub product_service: SocketAddr,
    /// The Telegram stand-in: HTTP.
    pub telegram: SocketAddr,
    /// The database server.
    pub postgres: SocketAddr,
    /// The brokers, `host:port`.
    pub kafka: String,
    /// Prometheus, where there is one: HTTP.
    pub prometheus: Option<SocketAddr>,
    /// Jaeger's interface, where there is one: HTTP.
    pub jaeger: Option<SocketAddr>,
    /// Where Jaeger takes spans: OTLP/gRPC.
    pub jaeger_otlp: Option<SocketAddr>,
    /// Grafana, where there is one: HTTP.
    pub grafana: Option<SocketAddr>,
    /// The endpoint that the services send their spans to.
    pub otlp: Option<String>,
    /// The host of the Graylog that the services send their log to.
    pub graylog: Option<String>,
    /// The directory of the certificates.
    pub certs: PathBuf,
    /// How long an order waits for its payment.
    #[serde(with = "seconds")]
    pub payment_timeout: Duration,
}

/// Where a service is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceAddresses {
    /// For callers: gRPC with TLS.
    pub grpc: SocketAddr,
    /// For operators: HTTP.
    pub admin: SocketAddr,
    /// Its configuration file.
    pub config: PathBuf,
    /// Its log file.
    pub log: PathBuf,
    /// The connection string of its database.
    pub database: String,
}

impl ServiceAddresses {
    /// Its address for clients, by a name that its certificate is valid for.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.grpc.port())
    }
}

impl Addresses {
    /// What the settings lead to. `database` answers a service's connection string.
    pub(super) fn new(
        settings: &Settings,
        certs: PathBuf,
        state: &State,
        installed: &Installed,
        database: impl Fn(Part) -> String,
    ) -> Self {
        let Ports { checkout, loms, notifications, product_service, telegram, postgres, broker, .. } = settings.ports;
        let Ports { prometheus, jaeger, jaeger_otlp, grafana, .. } = settings.ports;
        let observer = |part: Part, port: u16| installed.has(part).then(|| loopback(port));
        let jaeger_otlp = observer(Part::Jaeger, jaeger_otlp);
        let service = |part: Part, ports: ServicePorts| ServiceAddresses {
            grpc: loopback(ports.grpc),
            admin: loopback(ports.admin),
            config: state.config(part),
            log: state.log(part),
            database: database(part),
        };
        Self {
            checkout: service(Part::Checkout, checkout),
            loms: service(Part::Loms, loms),
            notifications: service(Part::Notifications, notifications),
            product_service: loopback(product_service),
            telegram: loopback(telegram),
            postgres: loopback(postgres),
            kafka: settings.kafka.clone().unwrap_or_else(|| loopback(broker).to_string()),
            prometheus: observer(Part::Prometheus, prometheus),
            jaeger: observer(Part::Jaeger, jaeger),
            jaeger_otlp,
            grafana: observer(Part::Grafana, grafana),
            otlp: settings.otlp.clone().or_else(|| jaeger_otlp.map(|address| format!("http://{address}"))),
            graylog: settings.graylog.clone(),
            certs,
            payment_timeout: settings.payment_timeout,
        }
    }

    /// A service's; none for what is no service.
    pub fn service(&self, part: Part) -> Option<&ServiceAddresses> {
        match part {
            Part::Checkout => Some(&self.checkout),
            Part::Loms => Some(&self.loms),
            Part::Notifications => Some(&self.notifications),
            Part::Postgres
            | Part::Broker
            | Part::ProductService
            | Part::Telegram
            | Part::Prometheus
            | Part::Jaeger
            | Part::Grafana => None,
        }
    }

    /// Forgets an observer that does not run.
    pub(super) fn forget(&mut self, part: Part) {
        match part {
            Part::Prometheus => self.prometheus = None,
            Part::Jaeger => (self.jaeger, self.jaeger_otlp) = (None, None),
            Part::Grafana => self.grafana = None,
            Part::Postgres
            | Part::Broker
            | Part::ProductService
            | Part::Telegram
            | Part::Loms
            | Part::Checkout
            | Part::Notifications => {}
        }
    }

    /// Where a part answers, for people; nothing for an observer that does not run.
    pub fn of(&self, part: Part) -> String {
        let http = |address: Option<SocketAddr>| address.map_or_else(String::new, |it| format!("http://{it}"));
        match part {
            Part::Postgres => self.postgres.to_string(),
            Part::Broker => self.kafka.clone(),
            Part::ProductService => self.product_service.to_string(),
            Part::Telegram => http(Some(self.telegram)),
            Part::Prometheus => http(self.prometheus),
            Part::Jaeger => http(self.jaeger),
            Part::Grafana => http(self.grafana),
            Part::Checkout => self.checkout.grpc.to_string(),
            Part::Loms => self.loms.grpc.to_string(),
            Part::Notifications => self.notifications.grpc.to_string(),
        }
    }
}

/// A duration as a number of seconds.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
