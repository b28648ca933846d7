//! How connections lead to Postgres: directly, or through a pooler that lends each transaction another session, as
//! PgBouncer does in the mode `transaction`. Behind such a pooler nothing may be kept in a session: transactions take
//! their settings along, statements have no names, and the process that serves a connection has no lasting number.

use std::{fmt::Display, time::Duration};

use anyhow::{Context as _, anyhow, ensure};
use log::LevelFilter;
use secrecy::ExposeSecret as _;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _, postgres::PgConnectOptions, raw_sql,
};
use tracing::warn;

use super::{CONNECT_TIMEOUT, STATEMENT_TIMEOUT, errors};
use crate::config::service::{Pooler, PostgresConfig};

/// With these, a client that hangs or vanishes does not hold locks and connections for long.
const TIMEOUTS: [(&str, Duration); 3] = [
    ("statement_timeout", STATEMENT_TIMEOUT),
    ("lock_timeout", Duration::from_secs(5)),
    // The longest pause is in a transaction that waits up to five seconds for Kafka.
    ("idle_in_transaction_session_timeout", Duration::from_secs(15)),
];
/// With these, a statement has one plan whatever its parameters, by indexes whatever the statistics say: those of a table
/// that was empty a moment ago, or is so most of the time, mislead. Every statement that a call or a step makes is short
/// and has its index.
pub const PLANNING: [(&str, &str); 4] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    // What has no other plan than one that is off seems so expensive that it would be compiled.
    ("jit", "off"),
];
/// The server closes a connection to a lost machine after 25 seconds. Behind a pooler, these are the pooler's to set.
const KEEPALIVES: [(&str, &str); 3] =
    [("tcp_keepalives_idle", "10"), ("tcp_keepalives_interval", "5"), ("tcp_keepalives_count", "3")];

const CONNECT_PAUSE: Duration = Duration::from_secs(1);

const USE_POOLER: &str = "postgres.connection_string leads to a pooler that does not pass on the settings of sessions: \
                          set `postgres.pooler: transaction`, and in PgBouncer `pool_mode = transaction`";

#[derive(Debug, Clone)]
pub(super) struct Server {
    options: PgConnectOptions,
    pooler: Option<Pooler>,
}

impl Server {
    pub fn new(service: &str, config: &PostgresConfig) -> anyhow::Result<Self> {
        let options: PgConnectOptions = config.connection_string.expose_secret().parse().map_err(|_| {
            // The error may quote the connection string, which holds a password.
            anyhow!("postgres.connection_string must look like postgres://user:password@host:port/database")
        })?;
        let options = match config.pooler {
            None => {
                let timeouts = TIMEOUTS.map(|(name, value)| (name, value.as_millis()));
                options.options(timeouts).options(PLANNING).options(KEEPALIVES)
            }
            // PgBouncer refuses what it does not know.
            Some(Pooler::Transaction) => options.extra_float_digits(None),
        };
        // Statements are traced and timed here. sqlx would warn of slow ones, with numbers of users in their texts.
        let options = options.log_slow_statements(LevelFilter::Off, Duration::MAX);
        Ok(Self { options: options.application_name(service), pooler: config.pooler })
    }

    /// Sessions have the settings of `options` alone.
    pub fn direct(options: PgConnectOptions) -> Self {
        Self { options, pooler: None }
    }

    pub fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    pub fn is_pooled(&self) -> bool {
        self.pooler.is_some()
    }

    pub async fn connect(&self) -> sqlx::Result<PgConnection> {
        PgConnection::connect_with(&self.options).await
    }

    /// Waits for a server that is down.
    pub async fn wait(&self) -> anyhow::Result<PgConnection> {
        loop {
            match errors::within(CONNECT_TIMEOUT, self.connect()).await {
                Ok(mut connection) => {
                    self.require_settings(&mut connection).await?;
                    return Ok(connection);
                }
                Err(error) if error.to_string().contains("unsupported startup parameter") => {
                    return Err(error).context(USE_POOLER);
                }
                Err(error) => warn!(%error, "waiting for Postgres (postgres.connection_string)"),
            }
            tokio::time::sleep(CONNECT_PAUSE).await;
        }
    }

    /// Without a pooler, a session must have the settings that it was opened with.
    async fn require_settings(&self, connection: &mut PgConnection) -> anyhow::Result<()> {
        if self.is_pooled() {
            return Ok(());
        }
        let (name, value) = TIMEOUTS[0];
        let query = format!("/* setting */ SELECT setting FROM pg_settings WHERE name = '{name}'");
        let setting: String = raw_sql(AssertSqlSafe(query)).fetch_one(connection).await?.try_get(0)?;
        ensure!(setting == value.as_millis().to_string(), USE_POOLER);
        Ok(())
    }

    /// The statement that begins a transaction with these settings.
    pub fn begin(&self, settings: &[(&str, Duration)]) -> String {
        let mut text = "BEGIN".to_owned();
        let mut set = |name: &str, value: &dyn Display| text.push_str(&format!("; SET LOCAL {name} = {value}"));
        if self.is_pooled() {
            PLANNING.iter().for_each(|(name, value)| set(name, value));
            TIMEOUTS.iter().for_each(|(name, value)| set(name, &value.as_millis()));
        }
        settings.iter().for_each(|(name, value)| set(name, &value.as_millis()));
        text
    }
}
