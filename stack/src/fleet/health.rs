//! Whether a part of the fleet is healthy.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use proto::product::product_service_server;
use reqwest::Client;
use tokio::net::TcpStream;
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{Addresses, Observer, Part, StandIn, state::State};
use crate::{
    certs,
    process::{self, POLL, Process},
};

const START_TIMEOUT: Duration = Duration::from_secs(60);
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Fails if the process ends before the part is healthy.
pub(super) async fn wait(part: Part, process: &mut Process, fleet: &Addresses, state: &State) -> anyhow::Result<()> {
    let (client, log) = (Client::new(), state.log(part));
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let unhealthy = match tokio::time::timeout(CHECK_TIMEOUT, check(part, fleet, &client)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "no answer".into(),
        };
        let (name, shown) = (part.name(), super::shown(&log).display());
        if let Some(status) = process.exited() {
            bail!("{name} {}; the end of {shown}:\n{}", process::describe(status), process::tail(&log, 20));
        }
        if Instant::now() > deadline {
            bail!("{name} is not healthy ({unhealthy}); the end of {shown}:\n{}", process::tail(&log, 20));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Fails unless one of the brokers answers: `host:port`, separated by commas.
pub(super) async fn broker_answers(brokers: &str) -> anyhow::Result<()> {
    for broker in brokers.split(',') {
        if let Ok(Ok(_)) = tokio::time::timeout(CHECK_TIMEOUT, TcpStream::connect(broker)).await {
            return Ok(());
        }
    }
    bail!("no broker answers at {brokers}")
}

/// Fails unless the part answers, and says that it serves if it can say so.
pub(crate) async fn check(part: Part, addresses: &Addresses, client: &Client) -> anyhow::Result<()> {
    match part {
        Part::Service(service) => {
            // Both the admin port and the gRPC port must be healthy.
            let own = addresses.service(service);
            let ready = client.get(format!("http://{}/readyz", own.admin)).send().await?;
            ready.error_for_status().context("not ready")?;
            serving(&own.url(), service.facts().rpc, &addresses.certs).await
        }
        Part::StandIn(StandIn::ProductService) => {
            let url = format!("https://localhost:{}", addresses.product_service.port());
            serving(&url, product_service_server::SERVICE_NAME, &addresses.certs).await
        }
        Part::Observer(Observer::Alertmanager | Observer::Prometheus) => {
            client.get(format!("{}/-/ready", addresses.address_of(part))).send().await?.error_for_status()?;
            Ok(())
        }
        Part::Broker => broker_answers(&addresses.kafka).await,
        Part::Postgres | Part::StandIn(StandIn::Telegram) | Part::Observer(_) => {
            let address = addresses.address_of(part);
            TcpStream::connect(address.trim_start_matches("http://")).await?;
            Ok(())
        }
    }
}

/// Asks the gRPC health service, as a client with a certificate.
async fn serving(url: &str, service: &str, certs: &Path) -> anyhow::Result<()> {
    let channel = Endpoint::from_shared(url.to_owned())?.tls_config(certs::client_tls(certs)?)?.connect().await?;
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(channel).check(request).await?.into_inner();
    if answer.status() == ServingStatus::Serving {
        return Ok(());
    }
    bail!("its health is {}", answer.status().as_str_name())
}
