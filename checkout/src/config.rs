//! The configuration of checkout: what every service has, where LOMS and ProductService are, and how they are used.

use std::time::Duration;

use platform::config::{
    FromSection, Section, ServiceUrl,
    service::{ClientTlsConfig, ServiceConfig},
};
use secrecy::SecretString;

/// The whole file.
#[derive(Debug, Clone)]
pub struct Config {
    /// What every service has.
    pub service: ServiceConfig,
    /// `token`: shown to ProductService.
    pub token: SecretString,
    /// Where the other services are.
    pub services: ServicesConfig,
    /// `client_tls`: for calls to them.
    pub client_tls: ClientTlsConfig,
    /// How ProductService is used.
    pub products: ProductsConfig,
    /// How purchases that were left in doubt are taken up again.
    pub purchase: PurchaseConfig,
}

impl FromSection for Config {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        let service = ServiceConfig::from_section(section);
        let token = section.required("token");
        let services = section.section("services");
        let client_tls = section.section("client_tls");
        let products = section.section_or_defaults("products");
        let purchase = section.section_or_defaults("purchase");
        Some(Self {
            service: service?,
            token: token?,
            services: services?,
            client_tls: client_tls?,
            products: products?,
            purchase: purchase?,
        })
    }
}

impl AsRef<ServiceConfig> for Config {
    fn as_ref(&self) -> &ServiceConfig {
        &self.service
    }
}

/// `services`: addresses.
#[derive(Debug, Clone)]
pub struct ServicesConfig {
    /// `loms`
    pub loms: ServiceUrl,
    /// `products`: ProductService.
    pub products: ServiceUrl,
}

impl FromSection for ServicesConfig {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        let loms = section.required("loms");
        let products = section.required("products");
        Some(Self { loms: loms?, products: products? })
    }
}

/// `products`: how ProductService is used.
#[derive(Debug, Clone)]
pub struct ProductsConfig {
    /// `rate_per_second`: in no second does it get more calls from this process.
    pub rate_per_second: u16,
    /// `max_concurrent`: at no time does it have more calls of this process to answer.
    pub max_concurrent: u16,
    /// `attempt_timeout`: a call that takes longer is given up and tried again.
    pub attempt_timeout: Duration,
    /// `cache_ttl`: how long names and prices are remembered; zero for not at all.
    pub cache_ttl: Duration,
}

impl FromSection for ProductsConfig {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        let rate_per_second = section.with_default("rate_per_second", 10);
        let max_concurrent = section.with_default("max_concurrent", 5);
        let attempt_timeout = section.with_default("attempt_timeout", Duration::from_secs(1));
        let cache_ttl = section.with_default("cache_ttl", Duration::from_secs(60));
        for (key, value) in [("rate_per_second", rate_per_second), ("max_concurrent", max_concurrent)] {
            if value == Some(0) {
                section.reject(key, "must be above 0");
            }
        }
        above_zero(section, "attempt_timeout", attempt_timeout);
        Some(Self {
            rate_per_second: rate_per_second?,
            max_concurrent: max_concurrent?,
            attempt_timeout: attempt_timeout?,
            cache_ttl: cache_ttl?,
        })
    }
}

/// `purchase`: how purchases that were left in doubt are taken up again.
#[derive(Debug, Clone)]
pub struct PurchaseConfig {
    /// `resume_after`: how long after its call's deadline the background step takes a purchase up; it waits twice as
    /// long after each attempt that leaves it in doubt again.
    pub resume_after: Duration,
    /// `resume_at_most`: the longest it waits between two attempts.
    pub resume_at_most: Duration,
}

impl FromSection for PurchaseConfig {
    fn from_section(section: &mut Section<'_>) -> Option<Self> {
        let resume_after = section.with_default("resume_after", Duration::from_secs(2));
        let resume_at_most = section.with_default("resume_at_most", Duration::from_secs(30));
        above_zero(section, "resume_after", resume_after);
        if resume_after > resume_at_most && resume_at_most.is_some() {
            section.reject("resume_at_most", "must not be shorter than resume_after");
        }
        Some(Self { resume_after: resume_after?, resume_at_most: resume_at_most? })
    }
}

fn above_zero(section: &mut Section<'_>, key: &str, value: Option<Duration>) {
    if value == Some(Duration::ZERO) {
        section.reject(key, "must be above 0");
    }
}
