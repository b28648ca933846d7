//! Writes the configuration files of the fleet's services. The files hold passwords.

use serde_json::{Value, json};

use super::{Addresses, Service, Settings};
use crate::{files::replace_secret, product_service};

/// Shorter than the time that the launcher waits for a service to stop.
const GRACE: &str = "3s";

/// Key and chat: the stand-in accepts any.
const TELEGRAM: (&str, i64) = ("local", 256);

pub(super) fn write(service: Service, addresses: &Addresses, settings: &Settings) -> anyhow::Result<()> {
    let mut config = config(service, addresses, settings.telegram_per_minute);
    if let Some(kafka) = settings.kafka_clients.get(&service) {
        config["kafka"] = kafka.clone();
    }
    let text = serde_yaml::to_string(&config)?;
    replace_secret(&addresses.service(service).config, &text)
}

fn config(service: Service, addresses: &Addresses, telegram_per_minute: Option<u32>) -> Value {
    let (own, certs) = (addresses.service(service), &addresses.certs);
    let mut tls = json!({
        "certificate": certs.join(format!("{}.pem", service.name())),
        "key": certs.join(format!("{}.key", service.name())),
    });
    // Checkout asks for no certificate: shoppers have none.
    if service != Service::Checkout {
        tls["client_ca"] = json!(certs.join("ca.pem"));
    }
    let mut config = json!({
        "grpc": { "listen": own.grpc, "tls": tls },
        "http": { "listen": own.http },
        "admin": { "listen": own.admin },
        "postgres": { "connection_string": own.database },
        "log": { "level": "info" },
        "shutdown": { "grace_period": GRACE },
    });
    let brokers: Vec<_> = addresses.kafka.split(',').collect();
    match service {
        Service::Loms => {
            let timeout = humantime::format_duration(addresses.payment_timeout).to_string();
            config["brokers"] = json!(brokers);
            config["orders"] = json!({ "payment_timeout": timeout });
        }
        Service::Checkout => {
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
        Service::Notifications => {
            let (api_key, chat_id) = TELEGRAM;
            let api_url = format!("http://{}", addresses.telegram);
            config["brokers"] = json!(brokers);
            config["telegram"] = json!({ "api_url": api_url, "api_key": api_key, "chat_id": chat_id });
            if let Some(per_minute) = telegram_per_minute {
                config["telegram"]["per_minute"] = json!(per_minute);
            }
        }
    }
    if let Some(endpoint) = &addresses.otlp {
        config["jaeger"] = json!({ "endpoint": endpoint });
    }
    if let Some(host) = &addresses.graylog {
        config["graylog"] = json!({ "address": format!("{host}:{}", service.facts().graylog_port) });
    }
    config
}
