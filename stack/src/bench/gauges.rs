//! What a fleet tells of itself, and its databases of it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::ensure;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::{
    Bench,
    usage::{Memory, millis},
};
use crate::fleet::{Part, Replica, Service};

/// How long a fleet may take to have published and stored everything, and a replica to be ready.
const CALM_TIMEOUT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(200);

impl Bench {
    /// Waits until all events are published, and all that are published are stored.
    pub(super) async fn calm(&self) -> anyhow::Result<()> {
        let began_at = Instant::now();
        let addresses = self.fleet.addresses();
        let mut databases = (
            PgConnection::connect(&addresses.loms.database).await?,
            PgConnection::connect(&addresses.notifications.database).await?,
        );
        let count = async |connection: &mut PgConnection, query: &'static str| -> anyhow::Result<i64> {
            Ok(sqlx::query_scalar(query).fetch_one(connection).await?)
        };
        let mut told = -1;
        loop {
            let unpublished = count(&mut databases.0, "SELECT count(*) FROM outbox").await?;
            let due = count(&mut databases.1, "SELECT count(*) FROM delivery WHERE state = 'due'").await?;
            let messages = count(&mut databases.1, "SELECT count(*) FROM message").await?;
            if unpublished == 0 && due == 0 && messages == told {
                return Ok(());
            }
            told = messages;
            ensure!(
                began_at.elapsed() < CALM_TIMEOUT,
                "the fleet does not come to rest: {unpublished} events, {due} deliveries"
            );
            tokio::time::sleep(POLL).await;
        }
    }

    pub(super) fn memory(&mut self, service: Service) -> Memory {
        self.fleet.id(Part::Service(service)).map(Memory::of).unwrap_or_default()
    }

    pub(super) async fn time_to_ready(&self, service: Service) -> anyhow::Result<f64> {
        let began_at = Instant::now();
        let replica = Replica::start(service, self.fleet.addresses(), &[])?;
        while !replica.is_ready().await {
            ensure!(began_at.elapsed() < CALM_TIMEOUT, "a replica of {} does not become ready", service.name());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let ready = millis(began_at.elapsed());
        replica.stop().await;
        Ok(ready)
    }

    pub(super) async fn idle_round_trips(&self) -> anyhow::Result<BTreeMap<&'static str, f64>> {
        let before = self.round_trips().await?;
        tokio::time::sleep(self.course.idle).await;
        let after = self.round_trips().await?;
        let seconds = self.course.idle.as_secs_f64();
        Ok(after.into_iter().map(|(name, after)| (name, (after - before[name]) / seconds)).collect())
    }

    /// Since the services began.
    pub(super) async fn round_trips(&self) -> anyhow::Result<BTreeMap<&'static str, f64>> {
        let mut round_trips = BTreeMap::new();
        for service in Service::ALL {
            let url = format!("http://{}/metrics", self.fleet.addresses().service(service).admin);
            let text = reqwest::get(url).await?.text().await?;
            let series = text.lines().filter(|line| line.starts_with("postgres_round_trips_total{"));
            let values = series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
            round_trips.insert(service.name(), values.sum());
        }
        Ok(round_trips)
    }

    /// Transactions that ended in all databases, as Postgres counts them.
    pub(super) async fn transactions(&self) -> anyhow::Result<f64> {
        let mut connection = PgConnection::connect(&self.fleet.addresses().loms.database).await?;
        let query = "SELECT sum(xact_commit + xact_rollback)::double precision FROM pg_stat_database";
        Ok(sqlx::query_scalar(query).fetch_one(&mut connection).await?)
    }

    /// The version of Postgres, and the settings that matter.
    pub(super) async fn postgres(&self) -> anyhow::Result<String> {
        let mut connection = PgConnection::connect(&self.fleet.addresses().loms.database).await?;
        let query = "SELECT name, current_setting(name) AS value FROM pg_settings WHERE name IN ('server_version', 'fsync', \
                     'synchronous_commit', 'full_page_writes', 'shared_buffers', 'wal_level', 'max_wal_size') ORDER BY name";
        let rows = sqlx::query(query).fetch_all(&mut connection).await?;
        let settings = rows
            .iter()
            .map(|row| anyhow::Ok(format!("{} {}", row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)?)));
        Ok(settings.collect::<anyhow::Result<Vec<_>>>()?.join(", "))
    }
}
