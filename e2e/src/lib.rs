//! A whole fleet, as processes, for journeys that see it from outside.

pub mod metrics;

use std::{
    env,
    path::PathBuf,
    sync::atomic::{AtomicI64, Ordering},
};

use anyhow::Context as _;
use platform::{
    config::{FromText as _, ServiceUrl, service::ClientTlsConfig},
    grpc::client::Channel,
    tls::{ClientTls, install_crypto_provider},
};
use proto::{
    cart::{cart_client::CartClient, cart_server},
    loms::{loms_client::LomsClient, loms_server},
    notifications::{notifications_client::NotificationsClient, notifications_server},
};
use stack::{
    fleet::{Addresses, Fleet, Ports, Settings},
    telegram::Message,
};
use tempfile::TempDir;

/// Names brokers to use instead of the fleet's own.
pub const KAFKA_VARIABLE: &str = "E2E_KAFKA_BROKERS";

/// A running fleet and how to reach it.
pub struct World {
    fleet: Fleet,
    directory: TempDir,
    /// Where everything is.
    pub addresses: Addresses,
}

impl World {
    /// Starts a fleet on free ports, with state and certificates of its own. Orders await their payment for longer
    /// than any journey takes.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(|settings| settings).await
    }

    /// As [`start`](Self::start), with settings of the caller's.
    pub async fn start_with(change: impl FnOnce(Settings) -> Settings) -> anyhow::Result<Self> {
        install_crypto_provider();
        let directory = tempfile::tempdir()?;
        let settings = Settings {
            ports: Ports::free()?,
            kafka: env::var(KAFKA_VARIABLE).ok(),
            ..Settings::new(directory.path().join("state"), directory.path().join("certs"))
        };
        let settings = change(settings);
        let fleet = Fleet::start(&settings, &mut |line| println!("{line}")).await?;
        let addresses = fleet.addresses().clone();
        Ok(Self { fleet, directory, addresses })
    }

    /// Stops it in good order.
    pub async fn stop(self) {
        self.fleet.stop().await;
    }

    /// The fleet's state directory.
    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// A shopper whom no other journey uses.
    pub fn shopper(&self) -> i64 {
        static NEXT: AtomicI64 = AtomicI64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// A client of the fleet's checkout, which shows no certificate.
    pub fn checkout(&self) -> anyhow::Result<CartClient<Channel>> {
        self.checkout_at(self.addresses.checkout.grpc.port())
    }

    /// A client of a checkout on another port.
    pub fn checkout_at(&self, port: u16) -> anyhow::Result<CartClient<Channel>> {
        Ok(CartClient::new(self.channel(port, None, cart_server::SERVICE_NAME)?))
    }

    /// A client of LOMS, with the development client's certificate.
    pub fn loms(&self) -> anyhow::Result<LomsClient<Channel>> {
        self.loms_at(self.addresses.loms.grpc.port())
    }

    /// A client of a LOMS on another port.
    pub fn loms_at(&self, port: u16) -> anyhow::Result<LomsClient<Channel>> {
        Ok(LomsClient::new(self.channel(port, Some("client"), loms_server::SERVICE_NAME)?))
    }

    /// A client of LOMS that shows no certificate.
    pub fn loms_without_certificate(&self) -> anyhow::Result<LomsClient<Channel>> {
        Ok(LomsClient::new(self.channel(self.addresses.loms.grpc.port(), None, loms_server::SERVICE_NAME)?))
    }

    /// A client of notifications, with the development client's certificate.
    pub fn notifications(&self) -> anyhow::Result<NotificationsClient<Channel>> {
        self.notifications_at(self.addresses.notifications.grpc.port())
    }

    /// A client of notifications on another port.
    pub fn notifications_at(&self, port: u16) -> anyhow::Result<NotificationsClient<Channel>> {
        Ok(NotificationsClient::new(self.channel(port, Some("client"), notifications_server::SERVICE_NAME)?))
    }

    /// A client of notifications that shows no certificate.
    pub fn notifications_without_certificate(&self) -> anyhow::Result<NotificationsClient<Channel>> {
        let port = self.addresses.notifications.grpc.port();
        Ok(NotificationsClient::new(self.channel(port, None, notifications_server::SERVICE_NAME)?))
    }

    /// What Telegram received, oldest first.
    pub async fn telegram(&self) -> anyhow::Result<Vec<Message>> {
        Ok(reqwest::get(format!("http://{}/messages", self.addresses.telegram)).await?.json().await?)
    }

    /// Makes Telegram misbehave.
    pub async fn telegram_fault(&self, fault: serde_json::Value) -> anyhow::Result<()> {
        let url = format!("http://{}/faults", self.addresses.telegram);
        reqwest::Client::new().post(url).json(&fault).send().await?.error_for_status()?;
        Ok(())
    }

    fn channel(&self, port: u16, identity: Option<&str>, service: &str) -> anyhow::Result<Channel> {
        let certs = &self.addresses.certs;
        let identity = identity.map(|name| (certs.join(format!("{name}.pem")), certs.join(format!("{name}.key"))));
        let tls = ClientTls::load(&ClientTlsConfig { ca: certs.join("ca.pem"), identity })?;
        let url = ServiceUrl::from_text(&format!("https://localhost:{port}")).map_err(anyhow::Error::msg)?;
        Channel::new(&url, &tls, service, proto::DESCRIPTORS).context("a channel")
    }
}
