//! What Postgres does at best: the work of `CreateOrder` for two SKUs, without a service around it, in a schema of its own
//! with the tables of LOMS.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use sqlx::{Connection as _, PgConnection, migrate::Migrator, postgres::PgConnectOptions, raw_sql};
use tokio::task::JoinSet;

const SKUS: i64 = 100;
const MIGRATIONS: Migrator = sqlx::migrate!("../migrations/loms");

/// Orders that one transaction creates, and how many connections do so at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ceiling {
    pub orders: usize,
    pub connections: usize,
}

/// The schema, for as long as it is measured.
pub(super) struct Ceilings {
    options: PgConnectOptions,
    /// Numbers of orders.
    next: Arc<AtomicI64>,
}

impl Ceilings {
    pub async fn new(database: &str) -> anyhow::Result<Self> {
        let options: PgConnectOptions = database.parse()?;
        let mut connection = PgConnection::connect_with(&options).await?;
        raw_sql("CREATE SCHEMA ceiling").execute(&mut connection).await?;
        let options = options.options([("search_path", "ceiling")]);
        let mut connection = PgConnection::connect_with(&options).await?;
        MIGRATIONS.run_direct(None, &mut connection, false).await?;
        sqlx::query("INSERT INTO stock (warehouse_id, sku, on_hand) SELECT 1, sku, 1000000000 FROM generate_series(1, $1) AS sku")
            .bind(SKUS)
            .execute(&mut connection)
            .await?;
        Ok(Self { options, next: Arc::new(AtomicI64::new(1)) })
    }

    /// Returns orders a second.
    pub async fn measure(&self, ceiling: Ceiling, duration: Duration) -> anyhow::Result<f64> {
        let (began_at, created) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let mut writers = JoinSet::new();
        for seed in 0..ceiling.connections {
            let (created, next) = (created.clone(), self.next.clone());
            let mut connection = PgConnection::connect_with(&self.options).await?;
            let mut random = StdRng::seed_from_u64(seed as u64);
            writers.spawn(async move {
                while began_at.elapsed() < duration {
                    create(&mut connection, ceiling.orders, &next, &mut random).await?;
                    created.fetch_add(ceiling.orders as u64, Ordering::Relaxed);
                }
                connection.close().await
            });
        }
        while let Some(written) = writers.join_next().await {
            written??;
        }
        Ok(created.load(Ordering::Relaxed) as f64 / began_at.elapsed().as_secs_f64())
    }

    pub async fn remove(self) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect_with(&self.options).await?;
        raw_sql("DROP SCHEMA ceiling CASCADE").execute(&mut connection).await?;
        Ok(connection.close().await?)
    }
}

/// Creates orders of two SKUs each in one transaction: locks their stock, and writes orders, items, reservations, sums and
/// events.
async fn create(
    connection: &mut PgConnection,
    count: usize,
    next: &AtomicI64,
    random: &mut StdRng,
) -> sqlx::Result<()> {
    let first = next.fetch_add(i64::try_from(count).unwrap_or_default(), Ordering::Relaxed);
    let orders: Vec<i64> = (first..).take(count).collect();
    let (mut item_orders, mut skus) = (Vec::new(), Vec::new());
    for order in &orders {
        let sku = random.random_range(1..=SKUS);
        item_orders.extend([*order, *order]);
        skus.extend([sku, sku % SKUS + 1]);
    }
    let mut transaction = connection.begin().await?;
    sqlx::query(
        "SELECT sku, warehouse_id, on_hand - reserved FROM stock WHERE sku = ANY ($1) ORDER BY sku, warehouse_id FOR UPDATE",
    )
    .bind(&skus)
    .fetch_all(&mut *transaction)
    .await?;
    sqlx::query(
        "WITH created AS (
            INSERT INTO orders (id, user_id, status, created_at, pay_before)
            OVERRIDING SYSTEM VALUE
            SELECT id, id, 'awaiting payment', now(), now() + interval '10 minutes' FROM unnest($1::bigint[]) AS id
        ), items AS (
            INSERT INTO order_item (order_id, sku, count)
            SELECT order_id, sku, 1 FROM unnest($2::bigint[], $3::bigint[]) AS item (order_id, sku)
        ), held AS (
            INSERT INTO reservation (order_id, sku, warehouse_id, count)
            SELECT order_id, sku, 1, 1 FROM unnest($2::bigint[], $3::bigint[]) AS item (order_id, sku)
        ), told AS (
            INSERT INTO outbox (order_id, user_id, status, message, occurred_at)
            SELECT id, id, status, 'Order ' || id || ' is ' || status || '.', now()
            FROM unnest($1::bigint[]) AS id, unnest('{new,awaiting payment}'::text[]) AS status
        )
        UPDATE stock SET reserved = reserved + total.count
        FROM (SELECT sku, count(*)::integer AS count FROM unnest($3::bigint[]) AS sku GROUP BY sku) AS total
        WHERE stock.sku = total.sku AND warehouse_id = 1",
    )
    .bind(&orders)
    .bind(&item_orders)
    .bind(&skus)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}
