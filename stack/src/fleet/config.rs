//! The configuration files of the three services of a local fleet. They hold passwords.

use serde_json::{Value, json};

use super::{Addresses, Part, ServiceAddresses};
use crate::{files::replace_secret, product_service};

/// How long a service finishes what runs. Shorter than the launcher waits for it.
const GRACE: &str = "3s";

/// The Telegram stand-in takes any key and any chat.
const TELEGRAM: (&str, i64) = ("local", 256);

/// Where a Graylog has an input for each service.
const fn graylog_port(part: Part) -> Option<u16> {
    match part {
        Part::Checkout => Some(12201),
        Part::Loms => Some(12202),
        Part::Notifications => Some(12203),
        Part::Postgres
        | Part::Broker
        | Part::ProductService
        | Part::Telegram
        | Part::Prometheus
        | Part::Jaeger
        | Part::Grafana => None,
    }
}

/// Writes a service's file.
pub(super) fn write(part: Part, service: &ServiceAddresses, addresses: &Addresses) -> anyhow::Result<()> {
    let text = serde_yaml::to_string(&of(part, service, addresses))?;
    replace_secret(&service.config, &text)
}

fn of(part: Part, service: &ServiceAddresses, addresses: &Addresses) -> Value {
    let certs = &addresses.certs;
    let mut tls = json!({
        "certificate": certs.join(format!("{}.pem", part.name())),
        "key": certs.join(format!("{}.key", part.name())),
    });
    // Shoppers, who call checkout, have no certificate of ours.
    if part != Part::Checkout {
        tls["client_ca"] = json!(certs.join("ca.pem"));
    }
    let mut config = json!({
        "grpc": { "listen": service.grpc, "tls": tls },
        "admin": { "listen": service.admin },
        "postgres": { "connection_string": service.database },
        "log": { "level": "info" },
        "shutdown": { "grace_period": GRACE },
    });
    let brokers: Vec<_> = addresses.kafka.split(',').collect();
    match part {
        Part::Loms => {
            let timeout = humantime::format_duration(addresses.payment_timeout).to_string();
            config["brokers"] = json!(brokers);
            config["orders"] = json!({ "payment_timeout": timeout });
        }
        Part::Checkout => {
            config["token"] = json!(product_service::TOKEN);
            config["services"] = json!({
                "loms": addresses.loms.url(),
                "products": format!("https://localhost:{}", addresses.product_service.port()),
            });
            config["client_tls"] = json!({
                "ca": certs.join("ca.pem"),
                "certificate": certs.join("checkout.pem"),
                "key": certs.join("checkout.key"),
            });
        }
        Part::Notifications => {
            let (api_key, chat_id) = TELEGRAM;
            let api_url = format!("http://{}", addresses.telegram);
            config["brokers"] = json!(brokers);
            config["telegram"] = json!({ "api_url": api_url, "api_key": api_key, "chat_id": chat_id });
        }
        Part::Postgres
        | Part::Broker
        | Part::ProductService
        | Part::Telegram
        | Part::Prometheus
        | Part::Jaeger
        | Part::Grafana => {}
    }
    if let Some(endpoint) = &addresses.otlp {
        config["jaeger"] = json!({ "endpoint": endpoint });
    }
    if let Some((host, port)) = addresses.graylog.as_ref().zip(graylog_port(part)) {
        config["graylog"] = json!({ "address": format!("{host}:{port}") });
    }
    config
}
