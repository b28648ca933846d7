//! Takes the latest migration back. What that drops is found out beforehand, by doing it in a transaction that is rolled
//! back; what holds rows is dropped only for those who said so.

use std::{collections::BTreeSet, fmt, fmt::Write as _};

use anyhow::{Context as _, bail};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, migrate::Migrator, raw_sql};

use super::migrations::{applied, connect, name};
use crate::config::service::PostgresConfig;

/// To drop a table, all who use it must be done. Who comes meanwhile waits as well, so it is not tried for long.
const LOCK_TIMEOUT: (&str, &str) = ("lock_timeout", "5s");

/// What was taken back.
#[derive(Debug)]
pub struct Reverted {
    /// The number of the migration.
    pub version: i64,
    pub dropped: Vec<Dropped>,
}

/// A table or a column, with the rows that have something in it.
#[derive(Debug)]
pub struct Dropped {
    table: String,
    /// `None` if it is the whole table.
    column: Option<String>,
    rows: i64,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, column, rows } = self;
        let rows = if *rows == 1 { "1 row" } else { &format!("{rows} rows") };
        match column {
            None => write!(f, "table {table}: {rows}"),
            Some(column) => write!(f, "column {table}.{column}: {rows} with a value"),
        }
    }
}

/// Fails, and changes nothing, if a table or a column that holds rows would be dropped, unless `drops_rows`.
pub async fn revert(
    service: &str,
    config: &PostgresConfig,
    migrations: &Migrator,
    drops_rows: bool,
) -> anyhow::Result<Reverted> {
    let mut connection = connect(service, config, &[LOCK_TIMEOUT]).await?;
    let before = applied(&mut connection).await?;
    let Some(&version) = before.last() else { bail!("there is no migration to take back") };
    let target = before.range(..version).next_back().copied().unwrap_or(0);
    let migration = migrations.iter().find(|migration| migration.version == version);
    let named = migration.map_or_else(|| version.to_string(), name);
    let mut transaction = connection.begin().await?;
    let dropped = dropped(&mut transaction, migrations, target)
        .await
        .with_context(|| format!("cannot take back {named}; nothing was changed"))?;
    if !drops_rows && dropped.iter().any(|dropped| dropped.rows > 0) {
        let mut text = format!("to take back {named} drops what holds rows:\n");
        for dropped in &dropped {
            writeln!(text, "  {dropped}")?;
        }
        bail!("{text}nothing was changed; with --yes it is dropped all the same");
    }
    migrations.undo(&mut *transaction, target).await?;
    transaction.commit().await?;
    Ok(Reverted { version, dropped })
}

/// What is dropped when the migrations after `target` are taken back.
async fn dropped(connection: &mut PgConnection, migrations: &Migrator, target: i64) -> anyhow::Result<Vec<Dropped>> {
    let before = columns(connection).await?;
    let mut trial = connection.begin().await?;
    migrations.undo(&mut *trial, target).await?;
    let after = columns(&mut trial).await?;
    trial.rollback().await?;

    let stays = |table: &String| after.iter().any(|(other, _)| other == table);
    let gone: BTreeSet<_> = before
        .difference(&after)
        .map(|(table, column)| (table.clone(), stays(table).then(|| column.clone())))
        .collect();
    let mut dropped = Vec::new();
    for (table, column) in gone {
        // From here on nobody writes into it.
        raw_sql(AssertSqlSafe(format!("/* lock_dropped */ LOCK TABLE {table} IN SHARE MODE")))
            .execute(&mut *connection)
            .await?;
        let counted = column.as_deref().unwrap_or("*");
        let count = format!("/* count_dropped */ SELECT count({counted}) FROM {table}");
        let rows = raw_sql(AssertSqlSafe(count)).fetch_one(&mut *connection).await?.try_get(0)?;
        dropped.push(Dropped { table, column, rows });
    }
    Ok(dropped)
}

/// The columns of all tables, with their tables, quoted where SQL needs it.
async fn columns(connection: &mut PgConnection) -> sqlx::Result<BTreeSet<(String, String)>> {
    let query = "/* columns */ SELECT attrelid::regclass::text, quote_ident(attname) \
                 FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid \
                 WHERE relkind IN ('r', 'p') AND relnamespace = ANY (current_schemas(false)::regnamespace[]) \
                 AND attnum > 0 AND NOT attisdropped";
    let rows = raw_sql(query).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
