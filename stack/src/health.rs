//! `stack health`: checks a stand-in that runs as a process of its own.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use proto::product::product_service_server::SERVICE_NAME;
use rustls::crypto::aws_lc_rs;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::certs::CA_FILE;

/// A stand-in that does not answer at once is stuck.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Fails unless ProductService is serving at this address. The directory `certs` has the authority of its certificate.
pub async fn product_service(address: String, certs: &Path) -> anyhow::Result<()> {
    // An error means that a provider is already installed.
    let _ = aws_lc_rs::default_provider().install_default();
    let ca = certs.join(CA_FILE);
    let ca = std::fs::read(&ca).with_context(|| format!("cannot read {}", ca.display()))?;
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    let endpoint = Endpoint::from_shared(address.clone())?.tls_config(tls)?.connect_timeout(TIMEOUT).timeout(TIMEOUT);
    let channel = endpoint.connect().await.with_context(|| format!("no answer from {address}"))?;
    let request = HealthCheckRequest { service: SERVICE_NAME.to_owned() };
    let status = HealthClient::new(channel).check(request).await.context("no health")?.into_inner().status();
    ensure!(status == ServingStatus::Serving, "not serving: {}", status.as_str_name());
    Ok(())
}

/// Fails unless the Telegram stand-in at this address answers.
pub async fn telegram(address: &str) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
    // Any answer will do; to this path it is "not found".
    client.get(address).send().await.context("no answer")?;
    Ok(())
}
