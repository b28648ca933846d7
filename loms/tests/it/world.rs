//! A world for each test: a database of its own, LOMS in front of it, and clients.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use loms::{app::Loms, config::Config, usecase::Orders};
use platform::{
    config::{
        FromText as _, HostPort, LogLevel, ServiceUrl,
        kafka::KafkaConfig,
        service::{ClientTlsConfig, LogConfig},
    },
    grpc::client::{Channel, Resilience},
    kafka::Cluster,
    postgres::Database,
    service::{App, Service as _},
    telemetry::Telemetry,
    tls::ClientTls,
    worker::Wake,
};
use proto::loms::{CreateOrderRequest, ListOrderRequest, OrderItem, loms_client::LomsClient};
use sqlx::{AssertSqlSafe, PgConnection};
use stack::certs::{self, Authority};
use stack::testing::{Check, TestDatabase, eventually};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// The generated client over the platform's channel.
pub type Client = LomsClient<Channel>;

/// Certificates that all tests share.
pub struct Certs {
    pub dir: TempDir,
    pub authority: Authority,
}

impl Certs {
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }
}

pub static CERTS: LazyLock<Certs> = LazyLock::new(|| {
    platform::tls::install_crypto_provider();
    let dir = tempfile::tempdir().unwrap();
    let authority = certs::generate(dir.path()).unwrap();
    Certs { dir, authority }
});

/// Spans get trace ids only when somebody listens; the lines stay away unless `RUST_LOG` asks for them.
static TELEMETRY: LazyLock<Telemetry> = LazyLock::new(|| {
    let level = std::env::var("RUST_LOG").unwrap_or_else(|_| "off".into());
    Telemetry::install("loms", &LogConfig { level: LogLevel::from_text(&level).unwrap() }, None, None).unwrap()
});

/// A user whom no other test knows, so that tests can share a broker.
pub fn user() -> i64 {
    static NEXT: LazyLock<AtomicI64> =
        LazyLock::new(|| AtomicI64::new((uuid::Uuid::new_v4().as_u128() >> 66).try_into().unwrap()));
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What must hold whatever happened.
const CHECKS: &[Check] = &[
    (
        "reserved is the sum of reservations",
        "SELECT count(*) FROM (SELECT warehouse_id, sku, reserved, coalesce(sum(reservation.count), 0) AS held \
         FROM stock LEFT JOIN reservation USING (warehouse_id, sku) GROUP BY warehouse_id, sku, reserved) AS s \
         WHERE reserved <> held",
    ),
    (
        "an order holds all of its lines while it awaits payment, and nothing otherwise",
        "SELECT count(*) FROM order_item JOIN orders ON id = order_id \
         LEFT JOIN (SELECT order_id, sku, sum(count) AS held FROM reservation GROUP BY order_id, sku) AS r \
         USING (order_id, sku) \
         WHERE coalesce(held, 0) <> CASE status WHEN 'awaiting payment' THEN count ELSE 0 END",
    ),
    ("no order is left new", "SELECT count(*) FROM orders WHERE status = 'new'"),
];

pub struct World {
    pub database: TestDatabase,
}

impl World {
    /// An up-to-date database with this stock: warehouse, SKU, units on hand.
    pub async fn with_stock(stock: &[(i64, i64, i32)]) -> Self {
        LazyLock::force(&TELEMETRY);
        let database = TestDatabase::create(Loms::migrations()).await.checked(CHECKS);
        for (warehouse, sku, on_hand) in stock {
            sqlx::query("INSERT INTO stock (warehouse_id, sku, on_hand) VALUES ($1, $2, $3)")
                .bind(warehouse)
                .bind(sku)
                .bind(on_hand)
                .execute(&database.pool)
                .await
                .unwrap();
        }
        Self { database }
    }

    /// A configuration with free ports and certificates.
    pub fn config(&self) -> Config {
        self.config_for(&stack::testing::brokers())
    }

    pub fn config_for(&self, brokers: &[String]) -> Config {
        let file = self.config_file("10m", brokers);
        platform::config::parse("config.yaml", &file, &|_| None).unwrap()
    }

    /// The same as the text of a file.
    pub fn config_file(&self, payment_timeout: &str, brokers: &[String]) -> String {
        let dir = CERTS.dir.path().display();
        format!(
            "grpc:\n  listen: 127.0.0.1:0\n  tls: {{certificate: {dir}/loms.pem, key: {dir}/loms.key, \
             client_ca: {dir}/ca.pem}}\nadmin: {{listen: 127.0.0.1:0}}\npostgres: {{connection_string: '{}', acquire_timeout: 30s}}\n\
             brokers: [{}]\norders: {{payment_timeout: {payment_timeout}}}\n",
            self.database.url,
            brokers.join(", "),
        )
    }

    pub async fn loms(&self) -> Running {
        Running::start(self.config()).await
    }

    pub async fn loms_that_waits(&self, payment_timeout: Duration) -> Running {
        let mut config = self.config();
        config.orders.payment_timeout = payment_timeout;
        Running::start(config).await
    }

    /// The use cases alone, without a service around them.
    pub fn orders(&self, payment_timeout: Duration) -> Orders {
        Orders::new(self.database(), payment_timeout, Wake::default())
    }

    /// The database as the services see it.
    pub fn database(&self) -> Database {
        Database::new(self.database.pool.connect_options().as_ref().clone(), 8, Duration::from_secs(30))
    }

    /// The result of a query that answers one number.
    pub async fn number(&self, query: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(format!("SELECT ({query})::bigint")))
            .fetch_one(&self.database.pool)
            .await
            .unwrap()
    }

    pub async fn execute(&self, statement: &str) -> sqlx::Result<u64> {
        sqlx::query(AssertSqlSafe(statement)).execute(&self.database.pool).await.map(|done| done.rows_affected())
    }

    /// On hand and reserved of a SKU, over all warehouses.
    pub async fn stock_of(&self, sku: i64) -> (i64, i64) {
        let on_hand = self.number(&format!("SELECT coalesce(sum(on_hand), 0) FROM stock WHERE sku = {sku}")).await;
        (on_hand, self.number(&format!("SELECT coalesce(sum(reserved), 0) FROM stock WHERE sku = {sku}")).await)
    }

    /// Waits until so many sessions of this database wait for a lock.
    pub async fn until_blocked(&self, sessions: i64) {
        eventually("sessions wait for a lock", async || {
            let blocked = self
                .number(
                    "SELECT count(*) FROM pg_stat_activity \
                     WHERE datname = current_database() AND wait_event_type = 'Lock'",
                )
                .await;
            (blocked == sessions).then_some(())
        })
        .await;
    }

    /// Holds a lock on all stock until it is dropped.
    pub async fn lock_stock(&self) -> sqlx::Transaction<'static, sqlx::Postgres> {
        let mut transaction = self.database.pool.begin().await.unwrap();
        lock(&mut transaction, "SELECT FROM stock FOR UPDATE").await;
        transaction
    }
}

/// Brokers as LOMS reaches them.
pub fn cluster(brokers: &[String]) -> Cluster {
    let brokers = brokers.iter().map(|broker| HostPort::from_text(broker).unwrap()).collect();
    Cluster::open("loms", &KafkaConfig::plaintext(brokers)).unwrap()
}

pub async fn lock(connection: &mut PgConnection, statement: &str) {
    sqlx::query(AssertSqlSafe(statement)).execute(connection).await.unwrap();
}

/// LOMS as it runs; stopped when dropped.
pub struct Running {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// Answers when it is ready for calls.
    pub async fn start(config: Config) -> Self {
        let loms = Self::begin(config).await;
        stack::testing::until_ready(loms.admin).await;
        loms
    }

    pub async fn begin(config: Config) -> Self {
        LazyLock::force(&TELEMETRY);
        let app = App::<Loms>::open(config).await.unwrap();
        let (address, admin, stop) = (app.address(), app.admin_address(), app.stop());
        Self { address, admin, stop, task: tokio::spawn(app.serve()) }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    pub fn client(&self) -> Client {
        LomsClient::new(channel(&self.url(), CERTS.dir.path(), "client"))
    }

    /// Tells it to stop.
    pub fn tell_to_stop(&self) {
        self.stop.cancel();
    }

    /// Stops it and waits for its end.
    pub async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.task).await.unwrap().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A channel that trusts the authority of a directory and shows one of its certificates.
pub fn channel(url: &str, dir: &Path, name: &str) -> Channel {
    let identity = Some((dir.join(format!("{name}.pem")), dir.join(format!("{name}.key"))));
    let tls = ClientTls::load(&ClientTlsConfig { ca: dir.join(certs::CA_FILE), identity }).unwrap();
    channel_with(url, &tls)
}

pub fn channel_with(url: &str, tls: &ClientTls) -> Channel {
    let (url, service) = (ServiceUrl::from_text(url).unwrap(), proto::loms::loms_server::SERVICE_NAME);
    Channel::new(&url, tls, service, proto::DESCRIPTORS, Resilience::FAIL).unwrap()
}

/// A request for these SKUs and counts.
pub fn order(user: i64, items: &[(u32, u32)]) -> CreateOrderRequest {
    let items = items.iter().map(|&(sku, count)| OrderItem { sku, count }).collect();
    CreateOrderRequest { user, items, idempotency_key: String::new() }
}

/// Creates an order and answers its number. Takes its time: tests let many callers queue for the same stock.
pub async fn create(client: &Client, request: CreateOrderRequest) -> Result<i64, Status> {
    let mut request = tonic::Request::new(request);
    request.set_timeout(Duration::from_secs(60));
    client.clone().create_order(request).await.map(|response| response.into_inner().order_id)
}

pub async fn status(client: &Client, order_id: i64) -> String {
    client.clone().list_order(ListOrderRequest { order_id }).await.unwrap().into_inner().status
}

/// Waits until an order has a status.
pub async fn until_status(client: &Client, order_id: i64, expected: &str) {
    eventually(&format!("order {order_id} is {expected}"), async || {
        (status(client, order_id).await == expected).then_some(())
    })
    .await;
}
