//! What a fleet tells of itself, and its databases of it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::ensure;
use reqwest::Client;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::{
    Bench,
    usage::{Memory, millis},
};
use crate::{
    fleet::{Part, Replica, Service},
    scrape::{Scrape, Series},
};

/// How long a fleet may take to have published and stored everything, and a replica to be ready.
const CALM_TIMEOUT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(200);

/// How many events were at most so many seconds old, by that age.
#[derive(Debug, Clone, Default)]
pub(super) struct Ages(pub Vec<(f64, f64)>);

impl Ages {
    /// Those that came since an earlier look.
    pub fn since(&self, before: &Self) -> Self {
        let counts = std::iter::zip(&self.0, &before.0);
        Self(counts.map(|((bound, after), (_, before))| (*bound, after - before)).collect())
    }

    /// The age in seconds that this share of the events did not exceed, between the bounds in proportion.
    pub fn quantile(&self, share: f64) -> f64 {
        let wanted = share * self.0.last().map_or(0.0, |(_, all)| *all);
        let (mut lower, mut below) = (0.0, 0.0);
        for &(bound, count) in &self.0 {
            if count >= wanted && count > below {
                return if bound.is_finite() {
                    lower + (bound - lower) * (wanted - below) / (count - below)
                } else {
                    lower
                };
            }
            (lower, below) = (bound, count);
        }
        lower
    }
}

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

    /// Waits until checkout has asked ProductService for the whole catalogue, as it does once.
    async fn catalogue_is_in(&self) -> anyhow::Result<()> {
        let began_at = Instant::now();
        let mut database = PgConnection::connect(&self.fleet.addresses().checkout.database).await?;
        let query = "SELECT count(*) > 0 AND count(*) = count(name) FROM product";
        while !sqlx::query_scalar::<_, bool>(query).fetch_one(&mut database).await? {
            ensure!(began_at.elapsed() < CALM_TIMEOUT, "checkout does not come to know all products");
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    pub(super) async fn idle_round_trips(&self) -> anyhow::Result<BTreeMap<&'static str, f64>> {
        self.catalogue_is_in().await?;
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
            let all = self.scrape(service).await?.sum(Series("postgres_round_trips_total", None));
            round_trips.insert(service.name(), all.unwrap_or_default());
        }
        Ok(round_trips)
    }

    /// How old events were when they were stored, since notifications began.
    pub(super) async fn event_ages(&self) -> anyhow::Result<Ages> {
        let scrape = self.scrape(Service::Notifications).await?;
        Ok(Ages(scrape.buckets("notifications_event_age_seconds_bucket")))
    }

    async fn scrape(&self, service: Service) -> reqwest::Result<Scrape> {
        Scrape::of(&Client::new(), self.fleet.addresses().service(service).admin).await
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

#[cfg(test)]
mod tests {
    use super::Ages;

    #[test]
    fn quantiles_are_of_the_events_since_the_earlier_look() {
        let before = Ages(vec![(0.1, 50.0), (0.2, 50.0), (f64::INFINITY, 50.0)]);
        let ages = Ages(vec![(0.1, 50.0), (0.2, 150.0), (f64::INFINITY, 150.0)]).since(&before);
        assert!((ages.quantile(0.5) - 0.15).abs() < 1e-9, "{}", ages.quantile(0.5));
        assert!((Ages(Vec::new()).quantile(0.5)).abs() < 1e-9);
    }
}
