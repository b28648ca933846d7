//! A world of its own for each test: database, topics, Telegram, and as many replicas as it starts.

use std::{path::Path, sync::OnceLock, time::Duration};

use notifications::{
    app::{self, Notifications, Settings, Started},
    config::{ApiUrl, ChatId, Config, TelegramConfig},
    pause::Pause,
};
use platform::{
    cli::Service as _,
    config::{
        FromText as _, ServiceUrl,
        service::{
            AdminConfig, ClientTlsConfig, GrpcConfig, LogConfig, PostgresConfig, ServerTlsConfig, ServiceConfig,
            ShutdownConfig,
        },
    },
    grpc::client::Channel,
    testing::{TestDatabase, eventually},
    tls::ClientTls,
};
use proto::notifications::{
    Date, GetHistoryWithPeriodRequest, GetHistoryWithPeriodResponse, Message, notifications_client::NotificationsClient,
};
use serde_json::{Value, json};
use sqlx::PgPool;
use stack::{ports, telegram::Telegram};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::topics::Topics;

/// The bot's token, which no log may show.
pub const API_KEY: &str = "123456:a-token-that-nobody-may-see";
/// The chat that messages go to.
pub const CHAT: i64 = -100_500;

/// Everything around the service.
pub struct World {
    pub database: TestDatabase,
    pub topics: Topics,
    pub telegram: Telegram,
    pub settings: Settings,
}

impl World {
    /// A world with topics of three partitions.
    pub async fn new() -> Self {
        let world = Self::without_topics().await;
        world.topics.create().await;
        world
    }

    /// A world in which nobody has created the topics.
    pub async fn without_topics() -> Self {
        platform::tls::install_crypto_provider();
        let database = TestDatabase::create(Notifications::migrations()).await;
        let topics = Topics::new(&platform::testing::brokers());
        let telegram = Telegram::start(ports::loopback(0), Some(API_KEY.into())).unwrap();
        let mut settings = Settings {
            topic: topics.orders.clone(),
            dead_letter_topic: topics.dead_letters.clone(),
            group: topics.group.clone(),
            telegram_timeout: Duration::from_secs(1),
            lease: Duration::from_secs(10),
            ..Settings::default()
        };
        settings.retry.first = Duration::from_millis(50);
        settings.rest.first = Duration::from_millis(20);
        settings.rest.longest = Duration::from_millis(200);
        Self { database, topics, telegram, settings }
    }

    pub fn pool(&self) -> &PgPool {
        &self.database.pool
    }

    pub fn config(&self) -> Config {
        let certs = certificates();
        Config {
            service: ServiceConfig {
                grpc: GrpcConfig {
                    listen: ports::loopback(0),
                    tls: Some(ServerTlsConfig {
                        certificate: certs.join("notifications.pem"),
                        key: certs.join("notifications.key"),
                        client_ca: Some(certs.join("ca.pem")),
                    }),
                    max_concurrent_requests: 64,
                    default_deadline: Duration::from_secs(10),
                },
                admin: AdminConfig { listen: ports::loopback(0) },
                postgres: PostgresConfig {
                    max_connections: 4,
                    acquire_timeout: Duration::from_millis(500),
                    ..PostgresConfig::of_url(self.database.url.clone().into())
                },
                log: LogConfig { level: "info".into() },
                jaeger: None,
                graylog: None,
                shutdown: ShutdownConfig { grace_period: Duration::from_secs(7) },
            },
            brokers: self.topics.brokers.clone(),
            telegram: Some(TelegramConfig {
                api_url: ApiUrl::from_text(&self.telegram.url()).unwrap(),
                api_key: API_KEY.into(),
                chat_id: ChatId::Number(CHAT),
            }),
        }
    }

    /// Starts a replica.
    pub async fn start(&self) -> Replica {
        self.start_with(self.config()).await
    }

    /// Starts a replica that has no `telegram` section.
    pub async fn start_without_telegram(&self) -> Replica {
        self.start_with(Config { telegram: None, ..self.config() }).await
    }

    pub async fn start_with(&self, config: Config) -> Replica {
        let pause = Pause::default();
        let started = app::start(&config, self.settings.clone(), &pause).await.unwrap().unwrap();
        Replica::serve(started, pause)
    }

    /// The texts of all messages kept, in the order in which they were.
    pub async fn kept(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT text FROM message ORDER BY id").fetch_all(self.pool()).await.unwrap()
    }

    /// Waits until so many messages are kept, and answers their texts.
    pub async fn until_kept(&self, count: usize) -> Vec<String> {
        eventually(&format!("{count} messages are kept"), async || {
            let kept = self.kept().await;
            (kept.len() >= count).then_some(kept)
        })
        .await
    }

    /// The texts that Telegram took, in the order in which it did.
    pub fn told(&self) -> Vec<String> {
        self.telegram.messages().into_iter().map(|message| message.text).collect()
    }

    /// Waits until Telegram took so many messages, and answers their texts.
    pub async fn until_told(&self, count: usize) -> Vec<String> {
        eventually(&format!("{count} messages are told"), async || {
            let told = self.told();
            (told.len() >= count).then_some(told)
        })
        .await
    }

    /// The deliveries in a state, as text and last error, oldest first.
    pub async fn deliveries(&self, state: &str) -> Vec<(String, Option<String>)> {
        sqlx::query_as(
            "SELECT text, last_error FROM delivery JOIN message ON id = message_id WHERE state = $1 ORDER BY id",
        )
        .bind(state)
        .fetch_all(self.pool())
        .await
        .unwrap()
    }

    /// Waits until so many deliveries are in a state.
    pub async fn until_deliveries(&self, state: &str, count: usize) -> Vec<(String, Option<String>)> {
        eventually(&format!("{count} deliveries are {state}"), async || {
            let found = self.deliveries(state).await;
            (found.len() >= count).then_some(found)
        })
        .await
    }
}

/// A running instance of the service.
pub struct Replica {
    pub client: Client,
    pub address: std::net::SocketAddr,
    pub pause: Pause,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Replica {
    fn serve(started: Started, pause: Pause) -> Self {
        let address = started.address();
        let stop = started.stop();
        Self { client: Client::new(address.port()), address, pause, stop, task: tokio::spawn(started.serve()) }
    }

    /// Stops it as SIGTERM does.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// A caller.
#[derive(Clone)]
pub struct Client(NotificationsClient<Channel>);

impl Client {
    /// With the certificate of the fleet's client.
    pub fn new(port: u16) -> Self {
        let certs = certificates();
        let identity = (certs.join("client.pem"), certs.join("client.key"));
        Self::with(&format!("https://localhost:{port}"), &certs.join("ca.pem"), Some(identity))
    }

    pub fn with(url: &str, ca: &Path, identity: Option<(std::path::PathBuf, std::path::PathBuf)>) -> Self {
        let tls = ClientTls::load(&ClientTlsConfig { ca: ca.to_owned(), identity }).unwrap();
        let url = ServiceUrl::from_text(url).unwrap();
        let channel = Channel::new(&url, &tls, "notifications.Notifications", proto::DESCRIPTORS).unwrap();
        Self(NotificationsClient::new(channel))
    }

    pub async fn call(&self, request: GetHistoryWithPeriodRequest) -> Result<GetHistoryWithPeriodResponse, Status> {
        self.0.clone().get_history_with_period(request).await.map(tonic::Response::into_inner)
    }

    /// All messages of a user.
    pub async fn history(&self, user: i64) -> Vec<Message> {
        self.try_history(user).await.unwrap()
    }

    pub async fn try_history(&self, user: i64) -> Result<Vec<Message>, Status> {
        let request = GetHistoryWithPeriodRequest {
            user,
            from: Some(Date { year: 1, month: 1, day: 1 }),
            to: Some(Date { year: 9999, month: 12, day: 31 }),
            ..Default::default()
        };
        self.call(request).await.map(|page| page.messages)
    }
}

/// A set of certificates that all tests share.
pub fn certificates() -> &'static Path {
    static CERTIFICATES: OnceLock<TempDir> = OnceLock::new();
    let directory = CERTIFICATES.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        stack::certs::generate(directory.path()).unwrap();
        directory
    });
    directory.path()
}

/// An event of LOMS.
pub fn event(user: i64, order: i64, text: &str) -> Value {
    json!({
        "UserId": user,
        "OrderID": order,
        "Status": "new",
        "Message": text,
        "EventID": uuid::Uuid::new_v4(),
        "OccurredAt": chrono::Utc::now().to_rfc3339(),
    })
}
