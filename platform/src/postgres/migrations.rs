//! Applies migrations, and checks that a database has all of them.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, bail, ensure};
use sqlx::{
    ConnectOptions as _, PgConnection, Row as _,
    migrate::{Migration, Migrator},
    raw_sql,
};
use tracing::info;

use super::{CONNECT_TIMEOUT, errors, server::Server};
use crate::config::service::PostgresConfig;

const TURN_PAUSE: Duration = Duration::from_millis(100);

/// Applies the missing migrations. Returns their versions.
pub async fn migrate(service: &str, config: &PostgresConfig, migrations: &Migrator) -> anyhow::Result<BTreeSet<i64>> {
    let mut connection = connect(service, config, &[]).await?;
    take_turn(&mut connection).await?;
    let before = applied(&mut connection).await?;
    migrations.run(&mut connection).await?;
    Ok(&applied(&mut connection).await? - &before)
}

/// Waits until nobody else migrates the database; ends with the session. It asks again and again: sqlx would wait for its
/// own lock in a statement, for whose end an index that the other builds concurrently would wait.
async fn take_turn(connection: &mut PgConnection) -> sqlx::Result<()> {
    // Locks of two numbers are none of those of one, which services take.
    let turn = "/* take_turn */ SELECT pg_try_advisory_lock(0, 0)";
    let mut is_told = false;
    while !raw_sql(turn).fetch_one(&mut *connection).await?.try_get(0)? {
        if !is_told {
            info!("another one migrates this database; this one waits");
            is_told = true;
        }
        tokio::time::sleep(TURN_PAUSE).await;
    }
    Ok(())
}

/// A session of its own, in which a statement may take as long as it takes.
pub(super) async fn connect(
    service: &str,
    config: &PostgresConfig,
    settings: &[(&str, &str)],
) -> anyhow::Result<PgConnection> {
    let server = Server::new(service, config)?;
    ensure!(
        !server.is_pooled(),
        "migrations need a session of their own, which the pooler (postgres.pooler) does not give: name a variable with \
         the address of Postgres itself, --url-from NAME"
    );
    // A migration may take longer than a statement of a service.
    let options = server.options().clone().options([("statement_timeout", "0")]).options(settings.iter().copied());
    let unreachable = format!("cannot connect to Postgres at {}:{}", options.get_host(), options.get_port());
    errors::within(CONNECT_TIMEOUT, options.connect()).await.context(unreachable)
}

pub(super) async fn applied(connection: &mut PgConnection) -> sqlx::Result<BTreeSet<i64>> {
    const UNDEFINED_TABLE: &str = "42P01";
    // In one message, so that a pooler has no place to change the session.
    let versions =
        raw_sql("/* applied */ SELECT version FROM _sqlx_migrations WHERE success").fetch_all(connection).await;
    match versions {
        Ok(versions) => versions.iter().map(|row| row.try_get(0)).collect(),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(UNDEFINED_TABLE) => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

pub(super) async fn require_current(
    service: &str,
    connection: &mut PgConnection,
    migrations: &Migrator,
) -> anyhow::Result<()> {
    let applied = applied(connection).await.context("cannot read which migrations were applied")?;
    let missing: Vec<_> = migrations
        .iter()
        .filter(|migration| !migration.migration_type.is_down_migration() && !applied.contains(&migration.version))
        .map(name)
        .collect();
    if !missing.is_empty() {
        bail!("the database lacks the migrations {}; run `{service} migrate`", missing.join(", "));
    }
    Ok(())
}

/// The name of the migration's files.
pub(super) fn name(migration: &Migration) -> String {
    format!("{}_{}", migration.version, migration.description.replace(' ', "_"))
}
