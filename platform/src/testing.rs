//! Worlds for tests: a database of its own for each test, and waiting for conditions. Postgres and the broker come from
//! `stack with -- COMMAND`, which sets the variables below.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, env, fs, future::Future, path::Path, str::FromStr as _, time::Duration};

use sqlx::{
    ConnectOptions as _, Executor as _, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::postgres::Database;

/// Names a Postgres whose user may create databases.
pub const POSTGRES_VARIABLE: &str = "TEST_POSTGRES_URL";
/// Names the brokers, `host:port` separated by commas.
pub const KAFKA_VARIABLE: &str = "TEST_KAFKA_BROKERS";

/// How long a condition may take to come true before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A database that only one test uses.
pub struct TestDatabase {
    /// Its address, for a service's configuration.
    pub url: String,
    /// A pool of connections to it.
    pub pool: PgPool,
}

impl TestDatabase {
    /// Makes a database with a random name and brings its schema up to date.
    pub async fn create(migrations: Migrator) -> Self {
        let database = Self::create_empty().await;
        migrations.run(&database.pool).await.expect("the migrations apply");
        database
    }

    /// Makes a database with a random name and no schema.
    pub async fn create_empty() -> Self {
        let server = PgConnectOptions::from_str(&variable(POSTGRES_VARIABLE)).expect("a Postgres URL");
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let mut connection = server.connect().await.expect("the test's Postgres answers");
        connection
            .execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .await
            .expect("a database can be created");
        let options = server.database(&name);
        let url = options.to_url_lossy().to_string();
        let pool =
            PgPoolOptions::new().max_connections(20).connect_with(options).await.expect("the new database answers");
        Self { url, pool }
    }

    /// The same as the services see it.
    pub fn database(&self) -> Database {
        Database::from_pool(self.pool.clone())
    }
}

/// The brokers that tests use.
pub fn brokers() -> Vec<String> {
    variable(KAFKA_VARIABLE).split(',').map(str::to_owned).collect()
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test`, or `stack with -- cargo test`"))
}

/// The names, in order, of all transactions and single statements in the sources of the crate in `directory`: given where
/// they begin, or as the `NAME` of a use case.
pub fn transactions_of(directory: &str) -> Vec<String> {
    fn gather(directory: &Path, names: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory).expect("the sources can be listed") {
            let path = entry.expect("the sources can be listed").path();
            if path.is_dir() {
                gather(&path, names);
                continue;
            }
            let text = fs::read_to_string(&path).expect("the sources are text");
            for begin in ["begin(\"", "single(\"", "const NAME: &str = \""] {
                let found = text.split(begin).skip(1).filter_map(|rest| rest.split('"').next());
                names.extend(found.map(str::to_owned));
            }
        }
    }
    let mut names = BTreeSet::new();
    gather(&Path::new(directory).join("src"), &mut names);
    names.into_iter().collect()
}

/// Waits until a condition answers something; fails the test, naming `what`, if it takes too long.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let answer = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain until {what}"))
}
