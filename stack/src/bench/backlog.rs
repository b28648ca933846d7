//! How fast a backlog of events goes away: out of the outbox, and into the history.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection as _, PgConnection};

use super::Bench;
use crate::{
    Say,
    fleet::{Part, Service},
};

const POLL: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(120);
const EVENTS_OF_AN_ORDER: i64 = 2;

/// Events a second, each by itself: nobody reads while they are published.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backlog {
    pub events: i64,
    pub published: f64,
    pub stored: f64,
}

impl Bench {
    /// Afterwards, the Telegram stand-in has yet to get a message for each of the events.
    pub(super) async fn backlog(&mut self, orders: i64, say: Say<'_>) -> anyhow::Result<Backlog> {
        self.calm().await?;
        let addresses = self.fleet.addresses();
        let mut loms = PgConnection::connect(&addresses.loms.database).await?;
        let mut notifications = PgConnection::connect(&addresses.notifications.database).await?;
        let stored: i64 =
            sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM message").fetch_one(&mut notifications).await?;
        let reader = self.fleet.id(Part::Service(Service::Notifications)).context("notifications does not run")?;
        let reader = i32::try_from(reader).ok().and_then(Pid::from_raw).context("a process has a number")?;

        let events = orders * EVENTS_OF_AN_ORDER;
        kill_process(reader, Signal::STOP)?;
        let published = async {
            sqlx::query(
                "WITH created AS (
                    INSERT INTO orders (user_id, status, created_at, pay_before)
                    SELECT number, 'awaiting payment', now(), now() + interval '1 day'
                    FROM generate_series(1, $1) AS number
                    RETURNING id, user_id
                )
                INSERT INTO outbox (order_id, user_id, status, message, occurred_at)
                SELECT id, user_id, status, 'Order ' || id || ' is ' || status || '.', now()
                FROM created, unnest('{new,awaiting payment}'::text[]) AS status",
            )
            .bind(orders)
            .execute(&mut loms)
            .await?;
            let left = async || Ok(sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(&mut loms).await?);
            rate(events, left).await.context("the relay does not come to its end")
        };
        let published = published.await;
        kill_process(reader, Signal::CONT)?;
        let left = async || {
            let query = sqlx::query_scalar("SELECT $1 - count(*) FROM message WHERE id > $2").bind(events).bind(stored);
            Ok(query.fetch_one(&mut notifications).await?)
        };
        let stored = rate(events, left).await.context("notifications does not come to its end")?;
        let published = published?;
        say(&format!("a backlog: {published:.0} events a second are published, {stored:.0} stored"));
        Ok(Backlog { events, published, stored })
    }
}

/// What goes away in a second, from when it begins to.
async fn rate(all: i64, mut left: impl AsyncFnMut() -> anyhow::Result<i64>) -> anyhow::Result<f64> {
    let (began_at, mut first) = (Instant::now(), None);
    loop {
        let (now, left) = (Instant::now(), left().await?);
        let (since, then) = *first.get_or_insert((now, left));
        if left == all {
            first = None;
        } else if left <= 0 {
            #[allow(clippy::cast_precision_loss, reason = "a rate is not that exact")]
            return Ok(then as f64 / (now - since).as_secs_f64().max(f64::EPSILON));
        }
        ensure!(began_at.elapsed() < LONGEST, "{left} events are left");
        tokio::time::sleep(POLL).await;
    }
}
