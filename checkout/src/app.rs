//! Puts checkout together: the only place that sees all of it.

use anyhow::Context as _;
use platform::{
    batches::Batches,
    cli::NoCommands,
    grpc::client::{Channel, Resilience},
    postgres::Database,
    process::Process,
    retention::Forget,
    routes,
    service::Service,
    skipped::Skipped,
    tls::ClientTls,
    worker::{Step as _, Wake},
};
use proto::{
    DESCRIPTORS,
    cart::cart_server::{CartServer, SERVICE_NAME},
    loms::loms_server::SERVICE_NAME as LOMS,
    product::product_service_server::SERVICE_NAME as PRODUCT_SERVICE,
};
use sqlx::migrate::Migrator;
use tonic::service::Routes;

use crate::{
    clients::{loms::Loms, products::Products},
    config::{Config, ProductsConfig},
    grpc::{self, status::REASONS},
    measure::Measure,
    metrics,
    refresh::{ReadCatalogue, RefreshProducts},
    resume::Resume,
    store::past::OldPurchases,
    usecase::{
        Carts,
        batch::CartBatch,
        catalogue::{Catalogue, Limits},
        tell::Telling,
    },
};

/// Carts and purchases.
pub struct Checkout {
    config: Config,
    loms: Loms,
    products: Products,
}

impl Service for Checkout {
    const NAME: &'static str = "checkout";
    const RPC: &'static str = SERVICE_NAME;
    const SHEDDABLE: &'static [&'static str] = &["AddToCart", "DeleteFromCart", "ListCart"];
    const DESCRIPTORS: &'static [u8] = DESCRIPTORS;
    const OPENAPI: &'static str = proto::openapi::CART;
    const TRANSACTIONS: &'static [&'static str] = &[
        "add_products",
        "cart",
        "change_carts",
        "forget_product",
        "forget_purchases",
        "give_back_product_turn",
        "keep_product",
        "make_product_turns",
        "mark_answered",
        "next_due_purchase",
        "note_asked_products",
        "purchase_backlog",
        "take_due_products",
        "take_due_purchases",
        "take_product_turn",
    ];
    const REASONS: &'static [&'static str] = REASONS;
    const DECLARE_METRICS: fn() = metrics::declare;

    type Config = Config;
    type Commands = NoCommands;

    fn migrations() -> Migrator {
        sqlx::migrate!("../migrations/checkout")
    }

    fn open(config: Config) -> anyhow::Result<Self> {
        let tls = ClientTls::load(&config.client_tls).context("client_tls")?;
        let loms = Loms::new(Channel::new(&config.services.loms, &tls, LOMS, DESCRIPTORS, Resilience::REPEAT)?);
        let products = Channel::new(&config.services.products, &tls, PRODUCT_SERVICE, DESCRIPTORS, Resilience::FAIL)?;
        let products = Products::new(products, config.token.clone(), config.products.attempt_timeout);
        Ok(Self { config, loms, products })
    }

    fn start(self, process: &Process, database: &Database) -> anyhow::Result<Routes> {
        let Self { config, loms, products } = self;
        let ProductsConfig { rate_per_second, max_concurrent, max_age, max_stale, .. } = config.products;
        let limits = Limits { in_a_second: rate_per_second, at_once: max_concurrent, max_age, max_stale };
        let catalogue = Catalogue::new(database.clone(), products, limits);
        let carts = Carts {
            database: database.clone(),
            batches: Batches::new(CartBatch { database: database.clone() }),
            loms,
            catalogue: catalogue.clone(),
            telling: Telling::default(),
            resume_after: config.purchase.resume_after,
        };
        let resumed = Carts { database: database.background(), ..carts.clone() };
        let skipped = Skipped::new(Resume::NAME);
        process.work(Resume { carts: resumed, config: config.purchase, skipped }, Wake::default());
        if let Some(retention) = config.service.postgres.retention {
            process.work(Forget::new(OldPurchases { database: database.background() }, retention), Wake::default());
        }
        let in_background = catalogue.background(process.stop());
        process.work(ReadCatalogue::new(in_background.clone()), Wake::default());
        process.work(RefreshProducts::new(in_background), Wake::default());
        process.work(Measure { database: database.background() }, Wake::default());
        Ok(routes!(CartServer, grpc::Service { carts }))
    }

    async fn run(command: NoCommands, _: Config) -> anyhow::Result<()> {
        match command {}
    }
}
