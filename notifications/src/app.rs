//! Puts notifications together: the only place that sees everything.

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use platform::{
    cli::{NoCommands, Service},
    grpc::server::{MAX_REQUEST_BYTES, router},
    kafka::{ORDERS, ORDERS_DLQ},
    net::Port,
    postgres::Database,
    process::Process,
    worker::Wake,
};
use proto::notifications::notifications_server::NotificationsServer;
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tracing::info;

use crate::{
    clients::telegram::Telegram,
    config::Config,
    consume::Consume,
    deliver::Deliver,
    domain::delivery::Pace,
    grpc,
    kafka::{consumer::Consumer, dead_letters::DeadLetters},
    measure::Measure,
    metrics,
    pause::Pause,
    usecase::{deliver_next::DeliverNext, record_events::RecordEvents},
};

/// The full name of the service.
const SERVICE: &str = "notifications.Notifications";

/// The service, for the command line.
pub struct Notifications;

impl Service for Notifications {
    const NAME: &'static str = "notifications";
    const CONFIG_VARIABLE: &'static str = "NOTIFICATIONS_CONFIG";
    type Config = Config;
    type Commands = NoCommands;

    fn migrations() -> Migrator {
        sqlx::migrate!("../migrations/notifications")
    }

    async fn serve(config: Config) -> anyhow::Result<()> {
        let pause = Pause::default();
        // Before anything else: the signal ends a process that does not listen to it.
        pause.toggle_on_signal()?;
        if let Some(started) = start(&config, Settings::default(), &pause).await? {
            started.serve().await?;
        }
        Ok(())
    }

    async fn run(command: NoCommands, _: Config) -> anyhow::Result<()> {
        match command {}
    }
}

/// What no configuration file can change.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The topic that is read.
    pub topic: String,
    /// The topic for what cannot be read.
    pub dead_letter_topic: String,
    /// The consumer group.
    pub group: String,
    /// How long Telegram may take to answer; shorter than the grace period of a stop.
    pub telegram_timeout: Duration,
    /// After how long a message whose delivery was cut off is sent again.
    pub lease: Duration,
    /// When a message is tried again.
    pub retry: Pace,
    /// How long Telegram is left alone while it fails.
    pub rest: Pace,
}

impl Default for Settings {
    fn default() -> Self {
        let longest_retry_after = Duration::from_secs(3600);
        Self {
            topic: ORDERS.into(),
            dead_letter_topic: ORDERS_DLQ.into(),
            group: "notifications".into(),
            telegram_timeout: Duration::from_secs(5),
            lease: Duration::from_secs(60),
            retry: Pace { first: Duration::from_millis(500), longest: Duration::from_secs(150), longest_retry_after },
            rest: Pace { first: Duration::from_millis(250), longest: Duration::from_millis(2500), longest_retry_after },
        }
    }
}

/// A service that runs already and only has to answer calls.
pub struct Started {
    process: Process,
    port: Port,
    router: Router,
    database: Database,
}

impl Started {
    /// Where callers reach it.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Where operators reach it.
    pub fn admin_address(&self) -> SocketAddr {
        self.process.admin_address()
    }

    /// Stops it when it is cancelled.
    pub fn stop(&self) -> CancellationToken {
        self.process.stop()
    }

    /// Answers calls until it is told to stop.
    pub async fn serve(self) -> anyhow::Result<()> {
        self.process.serve(self.port, self.router, self.database).await
    }
}

/// Starts the service; `None` if it was told to stop before it could.
pub async fn start(config: &Config, settings: Settings, pause: &Pause) -> anyhow::Result<Option<Started>> {
    metrics::register();
    let port = Port::open_public(&config.service.grpc).await?;
    let process = Process::start(Notifications::NAME, SERVICE, &config.service).await?;
    let migrations = Notifications::migrations();
    let connect = Database::connect(Notifications::NAME, &config.service.postgres, &migrations);
    let Some(database) = process.unless_stopped(connect).await.transpose()? else { return Ok(None) };
    let service = NotificationsServer::new(grpc::Service::new(database.clone()));
    let router = router(
        &config.service.grpc,
        SERVICE,
        proto::DESCRIPTORS,
        Routes::new(service.max_decoding_message_size(MAX_REQUEST_BYTES)),
        process.health(),
    )?;
    work(config, settings, pause, &process, &database)?;
    Ok(Some(Started { process, port, router, database }))
}

/// Begins the background work.
fn work(
    config: &Config,
    settings: Settings,
    pause: &Pause,
    process: &Process,
    database: &Database,
) -> anyhow::Result<()> {
    let arrived = Wake::default();
    match &config.telegram {
        Some(telegram) => {
            let telegram = Telegram::new(telegram, settings.telegram_timeout)?;
            let next = DeliverNext::new(database.clone(), telegram, settings.retry, settings.lease);
            process.work(Deliver::new(next, settings.rest), arrived.clone());
        }
        None => info!("telegram is not set: messages are kept and logged, and nobody is told"),
    }
    let consumer = Consumer::join(&config.brokers, &settings.topic, &settings.group, pause.clone(), process.stop())?;
    process.work(Measure::new(database.clone(), consumer.lag()?), Wake::default());
    let dead_letters = DeadLetters::new(&config.brokers, &settings.dead_letter_topic)?;
    let events = RecordEvents::new(database.clone(), config.telegram.is_some().then_some(arrived));
    process.work(Consume::new(consumer, events, dead_letters), Wake::default());
    Ok(())
}
