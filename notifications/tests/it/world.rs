//! A world of its own for each test: database, topics, Telegram, and as many replicas as it starts.

use std::{path::Path, sync::OnceLock, time::Duration};

use notifications::{
    app::Notifications,
    config::{Config, Settings},
};
use platform::{
    config::{FromText as _, ServiceUrl, service::ClientTlsConfig},
    grpc::client::{Channel, Resilience},
    kafka::Pause,
    service::{App, Service as _},
    tls::ClientTls,
};
use proto::notifications::{
    Date, GetHistoryWithPeriodRequest, GetHistoryWithPeriodResponse, Message,
    notifications_client::NotificationsClient, notifications_server::SERVICE_NAME,
};
use serde_json::{Value, json};
use sqlx::PgPool;
use stack::testing::{Check, TestDatabase, eventually};
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

/// What must hold whatever happened.
const CHECKS: &[Check] = &[
    (
        "a delivery is of its message's order",
        "SELECT count(*) FROM delivery JOIN message ON id = message_id WHERE delivery.order_id <> message.order_id",
    ),
    (
        "no message is delivered before an earlier one of its order is",
        "SELECT count(*) FROM delivery JOIN delivery AS earlier USING (order_id) \
         WHERE earlier.message_id < delivery.message_id AND earlier.state = 'due' AND delivery.state <> 'due'",
    ),
    ("what is settled has been attempted", "SELECT count(*) FROM delivery WHERE state <> 'due' AND attempts = 0"),
];

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
        let database = TestDatabase::create(Notifications::migrations()).await.checked(CHECKS);
        let topics = Topics::new(&stack::testing::brokers());
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
        let certs = certificates().display();
        let file = format!(
            "grpc:\n  listen: 127.0.0.1:0\n  tls: {{certificate: {certs}/notifications.pem, key: {certs}/notifications.key, \
             client_ca: {certs}/ca.pem}}\n  max_concurrent_requests: 64\n  default_deadline: 10s\n\
             admin: {{listen: 127.0.0.1:0}}\n\
             postgres: {{connection_string: '{}', max_connections: 4, acquire_timeout: 500ms}}\nbrokers: [{}]\n\
             telegram: {{api_url: '{}', api_key: '{API_KEY}', chat_id: {CHAT}}}\n",
            self.database.url,
            self.topics.brokers.join(", "),
            self.telegram.url(),
        );
        let mut config: Config = platform::config::parse("config.yaml", &file, &|_| None).unwrap();
        config.settings = self.settings.clone();
        // What most tests tell is not to wait for the chat.
        config.telegram.as_mut().unwrap().allowance.interval = Duration::ZERO;
        config
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
        Replica::serve(App::open(config).await.unwrap()).await
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

    /// The same, with the messages that came together one by one.
    pub fn told_one_by_one(&self) -> Vec<String> {
        self.told().iter().flat_map(|text| text.lines().map(str::to_owned)).collect()
    }

    /// Keeps so many messages, numbered from 1 with four digits, whose deliveries are due, of so many orders in turn.
    pub async fn keep_due(&self, count: i64, orders: i64) {
        sqlx::query(
            "WITH kept AS (
                INSERT INTO message (event_id, user_id, order_id, status, text, occurred_at)
                SELECT number::text, 1, number % $2 + 1, 'new', to_char(number, 'FM0000'), now()
                FROM generate_series(1, $1) AS s (number) ORDER BY s.number
                RETURNING id, order_id
            )
            INSERT INTO delivery (message_id, order_id) SELECT id, order_id FROM kept",
        )
        .bind(count)
        .bind(orders)
        .execute(self.pool())
        .await
        .unwrap();
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
    async fn serve(app: App<Notifications>) -> Self {
        let (address, admin, stop, pause) = (app.address(), app.admin_address(), app.stop(), app.service().pause());
        let task = tokio::spawn(app.serve());
        stack::testing::until_ready(admin).await;
        Self { client: Client::new(address.port()), address, pause, stop, task }
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
        let channel = Channel::new(&url, &tls, SERVICE_NAME, proto::DESCRIPTORS, Resilience::FAIL).unwrap();
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
