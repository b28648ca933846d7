//! The addresses of a running fleet. The fleet writes them to `fleet.json` for all who use it.

use std::{collections::HashMap, net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Installed, Observer, Part, Service, Settings, StandIn, state::State};
use crate::{doors::Door, ports::loopback};

/// An observer that does not run has no address.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Addresses {
    pub checkout: ServiceAddresses,
    pub loms: ServiceAddresses,
    pub notifications: ServiceAddresses,
    /// The stand-in: gRPC with TLS.
    pub product_service: SocketAddr,
    /// The stand-in: HTTP.
    pub telegram: SocketAddr,
    pub postgres: SocketAddr,
    /// The brokers: `host:port`, separated by commas.
    pub kafka: String,
    pub alertmanager: Option<SocketAddr>,
    pub prometheus: Option<SocketAddr>,
    /// The web interface.
    pub jaeger: Option<SocketAddr>,
    /// The receiver of spans: OTLP/gRPC.
    pub jaeger_otlp: Option<SocketAddr>,
    pub grafana: Option<SocketAddr>,
    /// The endpoint that receives the services' spans.
    pub otlp: Option<String>,
    /// The host of the Graylog that receives the services' logs.
    pub graylog: Option<String>,
    /// The directory of the certificates.
    pub certs: PathBuf,
    #[serde(with = "seconds")]
    pub payment_timeout: Duration,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceAddresses {
    pub grpc: SocketAddr,
    /// HTTP/JSON.
    pub http: SocketAddr,
    pub admin: SocketAddr,
    pub config: PathBuf,
    pub log: PathBuf,
    /// The connection string.
    pub database: String,
}

impl ServiceAddresses {
    /// The gRPC address with a host name that is in the certificate.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.grpc.port())
    }

    /// The same of HTTP/JSON.
    pub fn http_url(&self) -> String {
        format!("https://localhost:{}", self.http.port())
    }

    pub fn url_at(&self, door: Door) -> String {
        match door {
            Door::Grpc => self.url(),
            Door::Json => self.http_url(),
        }
    }
}

impl Addresses {
    /// `databases` are the services' connection strings.
    pub(super) fn new(
        settings: &Settings,
        certs: PathBuf,
        state: &State,
        installed: &Installed,
        databases: &HashMap<Service, String>,
    ) -> Self {
        let ports = &settings.ports;
        let observer = |observer: Observer, port: u16| installed.has(observer).then(|| loopback(port));
        let jaeger_otlp = observer(Observer::Jaeger, ports.jaeger_otlp);
        let service = |service: Service| ServiceAddresses {
            grpc: loopback(ports.service(service).grpc),
            http: loopback(ports.service(service).http),
            admin: loopback(ports.service(service).admin),
            config: state.config(service),
            log: state.log(Part::Service(service)),
            database: databases[&service].clone(),
        };
        Self {
            checkout: service(Service::Checkout),
            loms: service(Service::Loms),
            notifications: service(Service::Notifications),
            product_service: loopback(ports.product_service),
            telegram: loopback(ports.telegram),
            postgres: loopback(ports.postgres),
            kafka: settings.kafka.clone().unwrap_or_else(|| loopback(ports.broker).to_string()),
            alertmanager: observer(Observer::Alertmanager, ports.alertmanager),
            prometheus: observer(Observer::Prometheus, ports.prometheus),
            jaeger: observer(Observer::Jaeger, ports.jaeger),
            jaeger_otlp,
            grafana: observer(Observer::Grafana, ports.grafana),
            otlp: settings.otlp.clone().or_else(|| jaeger_otlp.map(|address| format!("http://{address}"))),
            graylog: settings.graylog.clone(),
            certs,
            payment_timeout: settings.payment_timeout,
        }
    }

    pub fn service(&self, service: Service) -> &ServiceAddresses {
        match service {
            Service::Checkout => &self.checkout,
            Service::Loms => &self.loms,
            Service::Notifications => &self.notifications,
        }
    }

    /// Removes the addresses of an observer that does not run.
    pub(super) fn forget(&mut self, observer: Observer) {
        match observer {
            Observer::Alertmanager => self.alertmanager = None,
            Observer::Prometheus => self.prometheus = None,
            Observer::Jaeger => (self.jaeger, self.jaeger_otlp) = (None, None),
            Observer::Grafana => self.grafana = None,
        }
    }

    /// The address of a part as people use it; empty for an observer that does not run.
    pub fn address_of(&self, part: Part) -> String {
        let http =
            |address: Option<SocketAddr>| address.map_or_else(String::new, |address| format!("http://{address}"));
        match part {
            Part::Postgres => self.postgres.to_string(),
            Part::Broker => self.kafka.clone(),
            Part::StandIn(StandIn::ProductService) => self.product_service.to_string(),
            Part::StandIn(StandIn::Telegram) => http(Some(self.telegram)),
            Part::Observer(Observer::Alertmanager) => http(self.alertmanager),
            Part::Observer(Observer::Prometheus) => http(self.prometheus),
            Part::Observer(Observer::Jaeger) => http(self.jaeger),
            Part::Observer(Observer::Grafana) => http(self.grafana),
            Part::Service(service) => self.service(service).grpc.to_string(),
        }
    }
}

/// Writes a duration as a number of seconds.
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
