//! The file `checkout/config.yaml`; `config.example.yaml` explains its keys.

use std::time::Duration;

use platform::{
    config::{
        Section, ServiceUrl,
        service::{ClientTlsConfig, ServiceConfig, WAITS},
    },
    section,
};
use secrecy::SecretString;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

section! {
    /// What checkout is told at start.
    pub struct Config {
        pub service: ServiceConfig = inline(),
        /// Shown to ProductService.
        pub token: SecretString = required(),
        pub services: ServicesConfig = section(),
        pub client_tls: ClientTlsConfig = section(),
        pub products: ProductsConfig = section_or_defaults(),
        pub purchase: PurchaseConfig = section_or_defaults(),
    }
}

impl AsRef<ServiceConfig> for Config {
    fn as_ref(&self) -> &ServiceConfig {
        &self.service
    }
}

section! {
    /// `services`: addresses.
    pub struct ServicesConfig {
        pub loms: ServiceUrl = required(),
        /// ProductService.
        pub products: ServiceUrl = required(),
    }
}

section! {
    /// `products`: how ProductService is used.
    pub struct ProductsConfig {
        /// In no second does it get more calls, from all replicas together.
        pub rate_per_second: u16 = within(10, 1..=10_000),
        /// At no time does it have more calls to answer, from all replicas together.
        pub max_concurrent: u16 = within(5, 1..=10_000),
        /// A call that takes longer is given up and tried again.
        pub attempt_timeout: Duration = within(Duration::from_secs(1), WAITS),
        /// A name and a price that are older are asked again before they are shown, if ProductService answers quickly.
        pub max_age: Duration = within(Duration::from_secs(60), Duration::from_millis(1)..=30 * DAY),
        /// Older ones are not shown, whatever becomes of ProductService.
        pub max_stale: Duration = within(DAY, Duration::from_millis(1)..=365 * DAY),
    }
    rule Self::check;
}

impl ProductsConfig {
    fn check(&self, section: &mut Section<'_>) {
        if self.max_age > self.max_stale {
            section.reject("max_stale", "must not be shorter than max_age");
        }
    }
}

section! {
    /// `purchase`: how purchases that were left in doubt are taken up again.
    pub struct PurchaseConfig {
        /// How long after its call's deadline the background step takes a purchase up; it waits twice as long after each
        /// attempt that leaves it in doubt again.
        pub resume_after: Duration = within(Duration::from_secs(2), Duration::from_millis(1)..=DAY),
        /// The longest it waits between two attempts.
        pub resume_at_most: Duration = within(Duration::from_secs(30), Duration::from_millis(1)..=DAY),
    }
    rule Self::check;
}

impl PurchaseConfig {
    fn check(&self, section: &mut Section<'_>) {
        if self.resume_after > self.resume_at_most {
            section.reject("resume_at_most", "must not be shorter than resume_after");
        }
    }
}
