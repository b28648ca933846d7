//! The file `loms/config.yaml`; `config.example.yaml` explains its keys.

use std::time::Duration;

use platform::{
    config::{kafka::KafkaConfig, service::ServiceConfig},
    section,
};

section! {
    /// What LOMS is told at start.
    pub struct Config {
        pub service: ServiceConfig = inline(),
        pub kafka: KafkaConfig = inline(),
        pub orders: OrdersConfig = section_or_defaults(),
    }
}

section! {
    /// `orders`: rules of the business.
    pub struct OrdersConfig {
        /// How long after its creation an order can be paid. Expiry looks at least once a second: an order that lives
        /// shorter could be cancelled too late. More than a year would be a slip of the pen.
        pub payment_timeout: Duration = within(
            Duration::from_secs(10 * 60),
            Duration::from_secs(1)..=Duration::from_secs(365 * 24 * 60 * 60),
        ),
    }
}

impl AsRef<ServiceConfig> for Config {
    fn as_ref(&self) -> &ServiceConfig {
        &self.service
    }
}
