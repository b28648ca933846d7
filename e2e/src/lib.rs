//! Starts a whole fleet, as processes, and reaches it as its clients do.

pub mod files;
pub mod log;
pub mod metrics;

use std::{
    env,
    path::{Path, PathBuf},
    str::FromStr as _,
    sync::atomic::{AtomicI64, Ordering},
};

use anyhow::Context as _;
use chrono::{Datelike as _, Days, Utc};
use platform::{
    config::{FromText as _, ServiceUrl, service::ClientTlsConfig},
    grpc::client::{Channel, Resilience},
    tls::{ClientTls, install_crypto_provider},
};
use proto::{
    cart::{cart_client::CartClient, cart_server},
    loms::{loms_client::LomsClient, loms_server},
    notifications::{
        Date, GetHistoryWithPeriodRequest, Message, notifications_client::NotificationsClient, notifications_server,
    },
};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, postgres::PgConnectOptions,
};
use stack::{
    fleet::{Addresses, Fleet, Ports, Replica, Service, Settings},
    telegram,
    testing::eventually,
};
use tempfile::TempDir;

/// The variable with external brokers to use instead of a local one.
const KAFKA_VARIABLE: &str = "E2E_KAFKA_BROKERS";

/// A running fleet.
pub struct World {
    fleet: Fleet,
    directory: TempDir,
    pub addresses: Addresses,
}

impl World {
    /// Starts a fleet on free ports, with its own state and certificates. Orders do not expire while tests run.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(|settings| settings).await
    }

    /// Like [`start`](Self::start), with changed settings.
    pub async fn start_with(change: impl FnOnce(Settings) -> Settings) -> anyhow::Result<Self> {
        install_crypto_provider();
        let directory = tempfile::tempdir()?;
        let settings = Settings {
            ports: Ports::free()?,
            kafka: env::var(KAFKA_VARIABLE).ok(),
            // Journeys share a chat, and are not to wait for each other.
            telegram_per_minute: Settings::TELEGRAM_UNBOUNDED,
            ..Settings::new(directory.path().join("state"), directory.path().join("certs"))
        };
        let settings = change(settings);
        let fleet = Fleet::start(&settings, &mut |line| stack::terminal::print(line)).await?;
        let addresses = fleet.addresses().clone();
        Ok(Self { fleet, directory, addresses })
    }

    pub async fn stop(self) {
        self.fleet.stop().await;
    }

    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// The id of a user that no other test has.
    pub fn shopper(&self) -> i64 {
        static NEXT: AtomicI64 = AtomicI64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// This client shows no certificate.
    pub fn checkout(&self) -> anyhow::Result<CartClient<Channel>> {
        self.checkout_at(self.addresses.checkout.grpc.port())
    }

    pub fn checkout_at(&self, port: u16) -> anyhow::Result<CartClient<Channel>> {
        Ok(CartClient::new(self.channel(port, None, cart_server::SERVICE_NAME)?))
    }

    /// This client shows the development client's certificate.
    pub fn loms(&self) -> anyhow::Result<LomsClient<Channel>> {
        self.loms_at(self.addresses.loms.grpc.port())
    }

    pub fn loms_at(&self, port: u16) -> anyhow::Result<LomsClient<Channel>> {
        Ok(LomsClient::new(self.channel(port, Some("client"), loms_server::SERVICE_NAME)?))
    }

    pub fn loms_without_certificate(&self) -> anyhow::Result<LomsClient<Channel>> {
        Ok(LomsClient::new(self.channel(self.addresses.loms.grpc.port(), None, loms_server::SERVICE_NAME)?))
    }

    /// This client shows the development client's certificate.
    pub fn notifications(&self) -> anyhow::Result<NotificationsClient<Channel>> {
        self.notifications_at(self.addresses.notifications.grpc.port())
    }

    pub fn notifications_at(&self, port: u16) -> anyhow::Result<NotificationsClient<Channel>> {
        Ok(NotificationsClient::new(self.channel(port, Some("client"), notifications_server::SERVICE_NAME)?))
    }

    pub fn notifications_without_certificate(&self) -> anyhow::Result<NotificationsClient<Channel>> {
        let port = self.addresses.notifications.grpc.port();
        Ok(NotificationsClient::new(self.channel(port, None, notifications_server::SERVICE_NAME)?))
    }

    /// The messages in a user's history.
    pub async fn history(&self, user: i64) -> anyhow::Result<Vec<Message>> {
        let today = Utc::now().date_naive();
        // From yesterday to tomorrow, because a test may run over midnight.
        let [from, to] = [today - Days::new(1), today + Days::new(1)].map(|day| Date {
            year: day.year(),
            month: day.month() as i32,
            day: day.day() as i32,
        });
        let request = GetHistoryWithPeriodRequest { user, from: Some(from), to: Some(to), ..Default::default() };
        Ok(self.notifications()?.get_history_with_period(request).await?.into_inner().messages)
    }

    /// Starts a replica of a service and waits until it is ready. Each change is a section as its path, a key and its value.
    pub async fn replica(&self, service: Service, changes: &[(&str, &str, &str)]) -> anyhow::Result<Replica> {
        let replica = Replica::start(service, &self.addresses, changes)?;
        eventually("the replica is ready", || async { replica.is_ready().await.then_some(()) }).await;
        Ok(replica)
    }

    /// The address of a service's database for an account of the fleet's own kind that gets so many connections at most.
    pub async fn database_of_few(&self, service: Service, connections: u32) -> anyhow::Result<String> {
        let (owner, few) = (service.name(), format!("few_{}_{connections}", service.name()));
        let create = format!("CREATE ROLE {few} LOGIN PASSWORD 'few' CONNECTION LIMIT {connections} IN ROLE {owner}");
        let mut superuser = PgConnection::connect(&self.fleet.superusers_database()).await?;
        superuser.execute(AssertSqlSafe(create)).await?;
        let options = PgConnectOptions::from_str(&self.addresses.service(service).database)?;
        Ok(options.username(&few).password("few").to_url_lossy().to_string())
    }

    /// What Telegram was told, oldest first; messages that came together one by one.
    pub async fn told(&self) -> anyhow::Result<Vec<String>> {
        let messages: Vec<telegram::Message> =
            reqwest::get(format!("http://{}/messages", self.addresses.telegram)).await?.json().await?;
        Ok(messages.iter().flat_map(telegram::Message::texts).map(str::to_owned).collect())
    }

    /// Makes Telegram fail. The fault is JSON as in [`telegram::Fault`].
    pub async fn telegram_fault(&self, fault: serde_json::Value) -> anyhow::Result<()> {
        let url = format!("http://{}/faults", self.addresses.telegram);
        reqwest::Client::new().post(url).json(&fault).send().await?.error_for_status()?;
        Ok(())
    }

    fn channel(&self, port: u16, identity: Option<&str>, service: &str) -> anyhow::Result<Channel> {
        channel(&self.addresses.certs, port, identity, service)
    }
}

/// A channel to a gRPC service on this machine. `certs` is the directory of the certificates, and `identity` is the
/// name of the certificate that the client shows.
pub fn channel(certs: &Path, port: u16, identity: Option<&str>, service: &str) -> anyhow::Result<Channel> {
    let identity = identity.map(|name| (certs.join(format!("{name}.pem")), certs.join(format!("{name}.key"))));
    let tls = ClientTls::load(&ClientTlsConfig { ca: certs.join("ca.pem"), identity })?;
    let url = ServiceUrl::from_text(&format!("https://localhost:{port}")).map_err(anyhow::Error::msg)?;
    Channel::new(&url, &tls, service, proto::DESCRIPTORS, Resilience::FAIL).context("a channel")
}
