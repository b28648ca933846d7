//! Puts LOMS together: the only place that sees all of it.

use platform::{
    kafka::Cluster, postgres::Database, process::Process, retention::Forget, routes, service::Service, worker::Wake,
};
use proto::loms::loms_server::{LomsServer, SERVICE_NAME};
use sqlx::migrate::Migrator;
use tonic::service::Routes;

use crate::{
    commands::{self, Commands},
    config::Config,
    expiry::Expiry,
    grpc::{self, status::REASONS},
    kafka::Publisher,
    measure::Measure,
    metrics,
    relay::Relay,
    store::past::OldOrders,
    usecase::{Orders, Stocks},
};

/// Logistics and order management.
pub struct Loms {
    config: Config,
    publisher: Publisher,
}

impl Service for Loms {
    const NAME: &'static str = "loms";
    const RPC: &'static str = SERVICE_NAME;
    const SHEDDABLE: &'static [&'static str] = &["Stocks", "ListOrder", "ListOrders"];
    const DESCRIPTORS: &'static [u8] = proto::DESCRIPTORS;
    const OPENAPI: &'static str = proto::openapi::LOMS;
    const TRANSACTIONS: &'static [&'static str] = &[
        "all_stock",
        "change_orders",
        "due_orders",
        "expire_orders",
        "forget_orders",
        "free_stock",
        "import_stock",
        "inspect_order",
        "inspect_outbox",
        "list_orders",
        "next_deadline",
        "order_details",
        "outbox_backlog",
        "outbox_has_events",
        "relay_events",
        "relay_holder",
        "unpaid_orders",
        "unset_stock",
    ];
    const REASONS: &'static [&'static str] = REASONS;
    const DECLARE_METRICS: fn() = metrics::declare;

    type Config = Config;
    type Commands = Commands;

    fn migrations() -> Migrator {
        sqlx::migrate!("../migrations/loms")
    }

    fn open(config: Config) -> anyhow::Result<Self> {
        let publisher = Publisher::new(Cluster::open(Self::NAME, &config.kafka)?)?;
        Ok(Self { config, publisher })
    }

    fn start(self, process: &Process, database: &Database) -> anyhow::Result<Routes> {
        let Self { config, publisher } = self;
        let events = Wake::default();
        let orders = Orders::new(database.clone(), config.orders.payment_timeout, events.clone());
        let background = database.background();
        let (expiry, skipped) = Expiry::new(orders.clone());
        process.work(expiry, Wake::default());
        process.work(Relay::new(background.clone(), publisher), events);
        process.work(Measure::new(background, skipped), Wake::default());

        if let Some(retention) = config.service.postgres.retention {
            process.work(Forget::new(OldOrders { database: database.background() }, retention), Wake::default());
        }

        let stocks = Stocks::new(database.clone());
        Ok(routes!(LomsServer, grpc::Service { orders, stocks }))
    }

    async fn run(command: Commands, config: Config) -> anyhow::Result<()> {
        commands::run(command, &config.service.postgres, &Self::migrations()).await
    }
}
