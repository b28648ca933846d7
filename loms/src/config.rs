//! The file `loms/config.yaml`; `config.example.yaml` explains its keys.

use std::time::Duration;

use platform::config::{FromSection, HostPort, Section, service::ServiceConfig};

/// What LOMS is told at start.
#[derive(Debug, Clone)]
pub struct Config {
    /// What every service is told.
    pub service: ServiceConfig,
    /// `brokers`: of Kafka, each `host:port`.
    pub brokers: Vec<String>,
    /// `orders`
    pub orders: OrdersConfig,
}

/// `orders`: rules of the business.
#[derive(Debug, Clone)]
pub struct OrdersConfig {
    /// `payment_timeout`: how long after its creation an order can be paid.
    pub payment_timeout: Duration,
}

impl OrdersConfig {
    /// Expiry looks at least once a second; an order that lives shorter could be cancelled too late.
    pub const MIN_PAYMENT_TIMEOUT: Duration = Duration::from_secs(1);
    /// A year: a longer one would be a slip of the pen.
    pub const MAX_PAYMENT_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);
}

impl FromSection for Config {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        let service = ServiceConfig::from_section(section);
        let brokers: Option<Vec<HostPort>> = section.required_list("brokers");
        let orders = section.section_or_defaults("orders");
        Some(Self { service: service?, brokers: brokers?.into_iter().map(String::from).collect(), orders: orders? })
    }
}

impl FromSection for OrdersConfig {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        let payment_timeout = section.with_default("payment_timeout", Duration::from_secs(10 * 60))?;
        if !(Self::MIN_PAYMENT_TIMEOUT..=Self::MAX_PAYMENT_TIMEOUT).contains(&payment_timeout) {
            section.reject("payment_timeout", "must be from 1s to 365d");
        }
        Some(Self { payment_timeout })
    }
}

impl AsRef<ServiceConfig> for Config {
    fn as_ref(&self) -> &ServiceConfig {
        &self.service
    }
}
