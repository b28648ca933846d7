//! Worlds for tests: a database of its own for each test, and waiting for conditions. Postgres and the broker come from
//! `stack with -- COMMAND`, which sets the variables below.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    env,
    str::FromStr as _,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Executor as _, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::runtime::Builder;

/// Names a Postgres whose user may create databases.
pub const POSTGRES_VARIABLE: &str = "TEST_POSTGRES_URL";
/// Names the brokers, `host:port` separated by commas.
pub const KAFKA_VARIABLE: &str = "TEST_KAFKA_BROKERS";

/// How long a condition may take to come true before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// What must hold of a database whatever happened: a sentence, and a query that counts what breaks it.
pub type Check = (&'static str, &'static str);

/// A database that only one test uses.
pub struct TestDatabase {
    /// Its address, for a service's configuration.
    pub url: String,
    pub pool: PgPool,
    checks: Checks,
}

impl TestDatabase {
    /// Makes a database with a random name and brings its schema up to date.
    pub async fn create(migrations: Migrator) -> Self {
        let database = Self::create_empty().await;
        migrations.run(&database.pool).await.expect("the migrations apply");
        database
    }

    /// Has the checks made when the test ends.
    #[must_use]
    pub fn checked(mut self, checks: &'static [Check]) -> Self {
        self.checks.of = Mutex::new(checks);
        self
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
        let checks = Checks { url: url.clone(), of: Mutex::new(&[]) };
        Self { url, pool, checks }
    }

    /// Leaves the checks out, for a test that spoils the data itself.
    pub fn is_spoilt(&self) {
        *self.checks.of.lock().unwrap_or_else(PoisonError::into_inner) = &[];
    }
}

/// Made when it is dropped, unless the test has failed already.
struct Checks {
    url: String,
    of: Mutex<&'static [Check]>,
}

impl Drop for Checks {
    fn drop(&mut self) {
        let checks = *self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if checks.is_empty() || thread::panicking() {
            return;
        }
        // The runtime of the test cannot wait for anything here.
        let url = self.url.clone();
        let broken = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime for the checks");
            runtime.block_on(broken(&url, checks)).expect("the checks can be made")
        });
        let broken = broken.join().expect("the checks can be made");
        assert!(broken.is_empty(), "at the end of the test it does not hold that {}", broken.join(", nor that "));
    }
}

/// The checks that do not hold.
async fn broken(url: &str, checks: &[Check]) -> sqlx::Result<Vec<&'static str>> {
    let mut connection = PgConnectOptions::from_str(url)?.connect().await?;
    let mut broken = Vec::new();
    for (sentence, query) in checks {
        let count: i64 = sqlx::query_scalar(*query).fetch_one(&mut connection).await?;
        if count > 0 {
            broken.push(*sentence);
        }
    }
    Ok(broken)
}

/// The brokers that tests use.
pub fn brokers() -> Vec<String> {
    variable(KAFKA_VARIABLE).split(',').map(str::to_owned).collect()
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test`, or `stack with -- cargo test`"))
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
