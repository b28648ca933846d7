//! Waiting until a part answers.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use reqwest::Client;
use tokio::net::TcpStream;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{Addresses, Part};
use crate::process::{self, POLL, Process};

/// How long a part may take to become healthy.
const START: Duration = Duration::from_secs(60);

/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(2);

/// Waits until the part is healthy; fails if its process ends before that.
pub(super) async fn wait(part: Part, addresses: &Addresses, process: &mut Process, log: &Path) -> anyhow::Result<()> {
    let client = Client::new();
    let deadline = Instant::now() + START;
    loop {
        let unhealthy = match tokio::time::timeout(QUESTION, ask(part, addresses, &client)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "no answer".into(),
        };
        let (name, shown) = (part.name(), super::shown(log).display());
        if let Some(status) = process.exited() {
            bail!("{name} {}; the end of {shown}:\n{}", process::describe(status), process::tail(log, 20));
        }
        if Instant::now() > deadline {
            bail!("{name} is not healthy ({unhealthy}); the end of {shown}:\n{}", process::tail(log, 20));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Makes sure that one of somebody else's brokers, `host:port` separated by commas, is there.
pub(super) async fn broker_answers(brokers: &str) -> anyhow::Result<()> {
    for broker in brokers.split(',') {
        if let Ok(Ok(_)) = tokio::time::timeout(QUESTION, TcpStream::connect(broker)).await {
            return Ok(());
        }
    }
    bail!("no broker answers at {brokers}")
}

async fn ask(part: Part, addresses: &Addresses, client: &Client) -> anyhow::Result<()> {
    match part {
        Part::ProductService => {
            let url = format!("https://localhost:{}", addresses.product_service.port());
            serving(&url, "route256.product.ProductService", &addresses.certs).await
        }
        Part::Checkout => service(part, "cart.Cart", addresses, client).await,
        Part::Loms => service(part, "loms.Loms", addresses, client).await,
        Part::Notifications => service(part, "notifications.Notifications", addresses, client).await,
        Part::Prometheus => {
            client.get(format!("{}/-/ready", addresses.of(part))).send().await?.error_for_status()?;
            Ok(())
        }
        Part::Telegram | Part::Postgres | Part::Broker | Part::Jaeger | Part::Grafana => {
            let address = addresses.of(part);
            TcpStream::connect(address.trim_start_matches("http://")).await?;
            Ok(())
        }
    }
}

/// Both the operators' answer and the callers' must be good.
async fn service(part: Part, name: &str, addresses: &Addresses, client: &Client) -> anyhow::Result<()> {
    let service = addresses.service(part).context("not a service")?;
    let ready = client.get(format!("http://{}/readyz", service.admin)).send().await?;
    ready.error_for_status().context("not ready")?;
    serving(&service.url(), name, &addresses.certs).await
}

/// Asks the gRPC health service, with TLS and a client's certificate.
async fn serving(url: &str, service: &str, certs: &Path) -> anyhow::Result<()> {
    let read = |file: &str| std::fs::read(certs.join(file));
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read("ca.pem")?))
        .identity(Identity::from_pem(read("client.pem")?, read("client.key")?));
    let channel = Endpoint::from_shared(url.to_owned())?.tls_config(tls)?.connect().await?;
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(channel).check(request).await?.into_inner();
    if answer.status() == ServingStatus::Serving {
        return Ok(());
    }
    bail!("its health is {}", answer.status().as_str_name())
}
