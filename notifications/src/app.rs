//! Puts notifications together: the only place that sees all of it.

use platform::{
    kafka::{self, Cluster, Consume, Pause, Subscription},
    postgres::Database,
    process::Process,
    retention::Forget,
    routes,
    service::Service,
    worker::Wake,
};
use proto::notifications::notifications_server::{NotificationsServer, SERVICE_NAME};
use sqlx::migrate::Migrator;
use tonic::service::Routes;
use tracing::info;

use crate::{
    clients::telegram::Telegram,
    commands::{self, Commands},
    config::{Config, Settings, TelegramConfig},
    deliver::Deliver,
    domain::pace::Allowance,
    grpc,
    measure::Measure,
    metrics,
    store::past::OldMessages,
    usecase::{Deliveries, Messages},
};

/// Each user's history of messages, which Telegram tells.
pub struct Notifications {
    config: Config,
    cluster: Cluster,
    telegram: Option<(Telegram, Allowance)>,
    pause: Pause,
}

impl Notifications {
    /// Pauses and resumes consumption, as SIGUSR1 does.
    pub fn pause(&self) -> Pause {
        self.pause.clone()
    }
}

impl Service for Notifications {
    const NAME: &'static str = "notifications";
    const RPC: &'static str = SERVICE_NAME;
    const SHEDDABLE: &'static [&'static str] = &[];
    const DESCRIPTORS: &'static [u8] = proto::DESCRIPTORS;
    const OPENAPI: &'static str = proto::openapi::NOTIFICATIONS;
    const TRANSACTIONS: &'static [&'static str] = &[
        "claim_deliveries",
        "dead_deliveries",
        "delivery_backlog",
        "forget_messages",
        "keep_messages",
        "list_undelivered",
        "look_for_deliveries",
        "read_history",
        "rest_telegram_pace",
        "retry_deliveries",
        "settle_deliveries",
    ];
    const REASONS: &'static [&'static str] = &[];
    const DECLARE_METRICS: fn() = || {
        metrics::declare();
        kafka::declare_metrics();
    };

    type Config = Config;
    type Commands = Commands;

    fn migrations() -> Migrator {
        sqlx::migrate!("../migrations/notifications")
    }

    fn open(config: Config) -> anyhow::Result<Self> {
        let timeout = config.settings.telegram_timeout;
        let telegram = |telegram: &TelegramConfig| anyhow::Ok((Telegram::new(telegram, timeout)?, telegram.allowance));
        let telegram = config.telegram.as_ref().map(telegram).transpose()?;
        let cluster = Cluster::open(Self::NAME, &config.kafka)?;
        Ok(Self { config, cluster, telegram, pause: Pause::on_signal()? })
    }

    fn start(self, process: &Process, database: &Database) -> anyhow::Result<Routes> {
        let Self { config: Config { settings, service, .. }, cluster, telegram, pause } = self;
        let subscription = subscription(cluster, &settings);
        let Settings { lease, retry, rest, .. } = settings;

        let arrived = Wake::default();
        let deliver = telegram.is_some().then(|| arrived.clone());
        let messages = Messages { database: database.clone(), deliver };
        let background = database.background();
        match telegram {
            Some((telegram, allowance)) => {
                let deliveries = Deliveries { database: background.clone(), telegram, allowance, retry, lease };
                process.work(Deliver::new(deliveries, rest), arrived);
            }
            None => info!("telegram is not set: messages are kept and logged, and nobody is told"),
        }
        let reader = Messages { database: background.clone(), ..messages.clone() };
        let consume = Consume::new(&subscription, pause, process.stop(), reader)?;
        if let Some(retention) = service.postgres.retention {
            process.work(Forget::new(OldMessages { database: background.clone() }, retention), Wake::default());
        }
        process.work(Measure { database: background, lag: consume.lag()? }, Wake::default());
        process.work(consume, Wake::default());

        Ok(routes!(NotificationsServer, grpc::Service { messages }))
    }

    async fn run(command: Commands, config: Config) -> anyhow::Result<()> {
        let subscription = || Ok(subscription(Cluster::open(Self::NAME, &config.kafka)?, &config.settings));
        commands::run(command, &config.service.postgres, &Self::migrations(), subscription).await
    }
}

fn subscription(cluster: Cluster, settings: &Settings) -> Subscription {
    let Settings { topic, dead_letter_topic, group, .. } = settings.clone();
    Subscription { cluster, topic, dead_letter_topic, group }
}
