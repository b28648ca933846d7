//! A database behind PgBouncer, which lends each transaction another session.

use std::time::Duration;

use futures::future::join_all;
use platform::{
    config::service::{Pooler, PostgresConfig, ServiceConfig},
    failure::Failure,
    postgres::{Database, Transaction, migrate},
};
use sqlx::{ConnectOptions as _, Executor as _, Row as _, migrate::Migrator, postgres::PgConnectOptions, raw_sql};
use stack::{postgres::PgBouncer, testing::TestDatabase};

/// Fewer sessions than a service has connections.
const FEW_SESSIONS: &str = "default_pool_size = 3";

fn config(url: &str, pooler: Option<Pooler>) -> PostgresConfig {
    let file = format!("postgres: {{connection_string: '{url}'}}\n")
        + "grpc: {listen: '127.0.0.1:0'}\nadmin: {listen: '127.0.0.1:0'}\n";
    let mut config: ServiceConfig = platform::config::parse("test.yaml", &file, &|_| None).unwrap();
    config.postgres.pooler = pooler;
    config.postgres
}

async fn connect(url: &str, pooler: Option<Pooler>) -> anyhow::Result<Database> {
    Database::connect("test", &config(url, pooler), &Migrator::DEFAULT).await
}

async fn add(mut transaction: Transaction, amount: i64) -> Result<i64, Failure> {
    let sum = sqlx::query_scalar("/* add */ UPDATE account SET sum = sum + $1 RETURNING sum")
        .bind(amount)
        .fetch_one(&mut transaction)
        .await?;
    let kept: i64 = sqlx::query_scalar("/* kept */ SELECT sum FROM account WHERE sum > $1")
        .bind(0)
        .fetch_one(&mut transaction)
        .await?;
    assert_eq!(kept, sum);
    transaction.commit().await?;
    Ok(sum)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_transactions_and_statements_share_few_sessions_and_end_in_their_time() {
    let test = TestDatabase::create_empty().await;
    test.pool.execute("CREATE TABLE account AS SELECT 0::bigint AS sum").await.unwrap();
    let pooler = PgBouncer::start(&test.url, FEW_SESSIONS).await.unwrap();
    let database = connect(pooler.url(), Some(Pooler::Transaction)).await.unwrap();

    let adding = (1..=40).map(|amount| {
        let database = database.clone();
        tokio::spawn(async move {
            let sum: i64 = sqlx::query_scalar("/* sum */ SELECT sum FROM account").fetch_one(&database).await.unwrap();
            let new = database.transact("add", |transaction| add(transaction, amount)).await.unwrap();
            assert!(new >= sum + amount);
        })
    });
    for added in join_all(adding.collect::<Vec<_>>()).await {
        added.unwrap();
    }

    // Also where a statement stands alone.
    let timeouts: Vec<String> = sqlx::query_scalar(
        "/* timeouts */ SELECT setting FROM pg_settings WHERE name LIKE '%\\_timeout' ORDER BY name",
    )
    .fetch_all(&database)
    .await
    .unwrap();
    assert!(["10000", "15000", "1000"].iter().all(|timeout| timeouts.contains(&(*timeout).to_owned())), "{timeouts:?}");

    // Nobody waits for this one any more. It is not cancelled, as nobody knows where it runs, but it ends.
    let mut holder = test.pool.begin().await.unwrap();
    holder.execute("UPDATE account SET sum = sum").await.unwrap();
    let waiting = database.transact("add", |transaction| add(transaction, 1));
    tokio::time::timeout(Duration::from_millis(100), waiting).await.expect_err("the row is locked");
    holder.rollback().await.unwrap();
    assert_eq!(database.transact("add", |transaction| add(transaction, 1)).await.unwrap(), 821);
}

#[tokio::test]
async fn a_pooler_that_the_configuration_does_not_name_is_refused_in_a_sentence() {
    let test = TestDatabase::create_empty().await;
    for settings in ["", "ignore_startup_parameters = extra_float_digits, options"] {
        let pooler = PgBouncer::start(&test.url, settings).await.unwrap();
        let refused = format!("{:#}", connect(pooler.url(), None).await.unwrap_err());
        assert!(refused.contains("set `postgres.pooler: transaction`"), "{refused}");
    }
}

#[tokio::test]
async fn migrations_are_not_applied_through_a_pooler_and_it_is_said_how_they_are() {
    let test = TestDatabase::create_empty().await;
    let config = config(&test.url, Some(Pooler::Transaction));
    let refused = migrate("test", &config, &Migrator::DEFAULT).await.unwrap_err().to_string();
    assert!(refused.contains("--url-from NAME"), "{refused}");
}

/// The session in which the transaction of a connection is, by the number of its process.
async fn session(executor: impl sqlx::PgExecutor<'_>) -> i32 {
    raw_sql("SELECT pg_backend_pid()").fetch_one(executor).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_at_which_the_driver_panics_fails_and_nothing_else_does() {
    let test = TestDatabase::create_empty().await;
    let settings = "default_pool_size = 2\nignore_startup_parameters = extra_float_digits, options";
    let pooler = PgBouncer::start(&test.url, settings).await.unwrap();
    let options: PgConnectOptions = pooler.url().parse().unwrap();
    // Both take names for their statements, and the names are the same.
    let [one, two] = [(); 2].map(|()| Database::new(options.clone(), 3, Duration::from_secs(2)).background());
    let (mut first, mut second) = (one.begin("one").await.unwrap(), two.begin("two").await.unwrap());
    sqlx::query_scalar::<_, i32>("/* one */ SELECT 1").fetch_one(&mut first).await.unwrap();
    let both = || sqlx::query_as::<_, (i32, i32)>("/* two */ SELECT 1, 2");
    both().fetch_one(&mut second).await.unwrap();
    let own = session(&mut second).await;
    first.commit().await.unwrap();
    second.commit().await.unwrap();

    // The second is left with the session of the first.
    let mut holders = [options.connect().await.unwrap(), options.connect().await.unwrap()];
    for holder in &mut holders {
        holder.execute("BEGIN").await.unwrap();
    }
    for holder in &mut holders {
        if session(&mut *holder).await != own {
            holder.execute("ROLLBACK").await.unwrap();
        }
    }
    let failed = both().fetch_one(&two).await.unwrap_err();
    assert!(failed.to_string().contains("the driver panicked"), "{failed}");
    assert!(matches!(Failure::from(failed), Failure::Unavailable { .. }));
}
