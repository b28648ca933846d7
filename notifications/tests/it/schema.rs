//! The database's schema.

use std::{collections::BTreeMap, path::Path};

use notifications::app::Notifications;
use platform::{postgres::PLANNING, service::Service as _};
use stack::testing::TestDatabase;

use crate::binary::program;

/// Every column of the schema, with its type.
async fn columns(database: &TestDatabase) -> BTreeMap<String, String> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT table_name || '.' || column_name, data_type FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations'",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    rows.into_iter().collect()
}

#[tokio::test]
async fn migrations_go_up_and_down_and_up_again() {
    let database = TestDatabase::create_empty().await;
    let migrations = Notifications::migrations();
    migrations.run(&database.pool).await.unwrap();
    let first = columns(&database).await;
    assert!(first.contains_key("message.event_id") && first.contains_key("delivery.last_error"), "{first:?}");
    migrations.undo(&database.pool, 0).await.unwrap();
    assert!(columns(&database).await.is_empty());
    migrations.run(&database.pool).await.unwrap();
    assert_eq!(columns(&database).await, first);
}

#[tokio::test]
async fn every_table_and_column_is_explained() {
    let database = TestDatabase::create(Notifications::migrations()).await;
    let unexplained: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname || coalesce('.' || a.attname, '') FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
        LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.relkind = 'r' AND c.relname <> '_sqlx_migrations'
            AND (obj_description(c.oid) IS NULL OR col_description(c.oid, a.attnum) IS NULL)",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    assert!(unexplained.is_empty(), "{unexplained:?}");
}

#[tokio::test]
async fn a_database_that_lacks_migrations_is_refused_until_migrate_has_run() {
    let database = TestDatabase::create_empty().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    let config = format!(
        "grpc: {{listen: '127.0.0.1:0'}}\nadmin: {{listen: '127.0.0.1:0'}}\npostgres: {{connection_string: '{}'}}\nbrokers: ['127.0.0.1:1']\n",
        database.url
    );
    std::fs::write(&path, config).unwrap();
    let run = |command: &str| {
        let output = program().args([command, "--config"]).arg(&path).output().unwrap();
        let [out, error] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.code(), out, error)
    };
    let (code, log, _) = run("serve");
    assert_eq!(code, Some(1));
    let missing = "20261130000002_telegram_pace, 20261130000003_delivery_failures; run `notifications migrate`";
    assert!(log.contains(missing), "{log}");
    let applied = ["20261122000001", "20261130000001", "20261130000002", "20261130000003"];
    let applied = applied.iter().map(|version| format!("notifications: applied {version}\n")).collect();
    assert_eq!(run("migrate"), (Some(0), applied, String::new()));
    assert!(!columns(&database).await.is_empty());
}

#[tokio::test]
async fn no_statement_reads_a_whole_table() {
    let database = TestDatabase::create(Notifications::migrations()).await;
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
    database.assert_bounded(&queries, &PLANNING, &[]).await;
}
