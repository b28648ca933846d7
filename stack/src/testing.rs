//! Helps tests: gives each a database of its own, and waits for conditions. Postgres and the broker come from
//! `stack with -- COMMAND`, which sets the variables below.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod plans;

use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
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
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    runtime::Builder,
    sync::watch,
};

/// The variable with the connection string of a user who may create databases.
pub const POSTGRES_VARIABLE: &str = "TEST_POSTGRES_URL";
/// The variable with the brokers: `host:port`, separated by commas.
pub const KAFKA_VARIABLE: &str = "TEST_KAFKA_BROKERS";

/// A condition that takes longer fails the test.
const PATIENCE: Duration = Duration::from_secs(30);

/// What must be true of a database after every test: a sentence, and a query that counts the violations.
pub type Check = (&'static str, &'static str);

/// A database that only one test uses.
pub struct TestDatabase {
    /// The connection string, for a service's configuration.
    pub url: String,
    pub pool: PgPool,
    final_checks: FinalChecks,
}

impl TestDatabase {
    /// Makes a database with a random name and brings its schema up to date.
    pub async fn create(migrations: Migrator) -> Self {
        let database = Self::create_empty().await;
        migrations.run(&database.pool).await.expect("the migrations apply");
        database
    }

    /// These checks run when the test ends.
    #[must_use]
    pub fn checked(mut self, checks: &'static [Check]) -> Self {
        self.final_checks.checks = Mutex::new(checks);
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
        let final_checks = FinalChecks { url: url.clone(), checks: Mutex::new(&[]) };
        Self { url, pool, final_checks }
    }

    /// From now on, refuses updates of a table's rows for which a condition on the row `NEW` holds.
    pub async fn refuse_updates(&self, table: &str, condition: &str) {
        let statements = format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN IF {condition} THEN RAISE 'refused for a test'; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER refuse BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()"
        );
        self.pool.execute(sqlx::AssertSqlSafe(statements)).await.expect("a trigger can be created");
    }

    /// Ends [`refuse_updates`](Self::refuse_updates).
    pub async fn accept_updates(&self) {
        self.pool.execute("DROP FUNCTION refuse CASCADE").await.expect("the trigger can be dropped");
    }

    /// Drops the checks, for a test that breaks the data on purpose.
    pub fn leave_unchecked(&self) {
        *self.final_checks.checks.lock().unwrap_or_else(PoisonError::into_inner) = &[];
    }
}

/// Runs its checks when it is dropped, unless the test has already failed.
struct FinalChecks {
    url: String,
    checks: Mutex<&'static [Check]>,
}

impl Drop for FinalChecks {
    fn drop(&mut self) {
        let checks = *self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        if checks.is_empty() || thread::panicking() {
            return;
        }
        // A thread, because the runtime of the test cannot be awaited here.
        let url = self.url.clone();
        let broken = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime for the checks");
            let checked = async { tokio::time::timeout(PATIENCE, broken(&url, checks)).await };
            runtime.block_on(checked).expect("the database answers").expect("the checks can be made")
        });
        let broken = broken.join().expect("the checks can be made");
        assert!(broken.is_empty(), "at the end of the test it does not hold that {}", broken.join(", nor that "));
    }
}

/// The sentences that are not true.
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

/// Passes connections on to the test's Postgres, until they are cut or frozen.
pub struct PostgresProxy {
    address: SocketAddr,
    line: watch::Sender<Line>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Open,
    Cut,
    Frozen,
}

impl PostgresProxy {
    pub async fn start() -> Self {
        let server = PgConnectOptions::from_str(&variable(POSTGRES_VARIABLE)).expect("a Postgres URL");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("the port of the listener");
        let (sender, line) = watch::channel(Line::Open);
        tokio::spawn(async move {
            while let Ok((mut caller, _)) = listener.accept().await {
                let (mut line, server) = (line.clone(), server.clone());
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect((server.get_host(), server.get_port())).await else {
                        return;
                    };
                    let is_frozen = tokio::select! {
                        ended = line.wait_for(|line| *line != Line::Open) => ended.is_ok_and(|line| *line == Line::Frozen),
                        _ = copy_bidirectional(&mut caller, &mut server) => false,
                    };
                    if is_frozen {
                        // Both ends stay open, and nothing passes any more, whatever becomes of the line.
                        let _ = line.wait_for(|line| *line == Line::Cut).await;
                    }
                });
            }
        });
        Self { address, line: sender }
    }

    /// A connection string that leads through this proxy.
    pub fn url(&self, connection_string: &str) -> String {
        let url = PgConnectOptions::from_str(connection_string).expect("a Postgres URL");
        url.host(&self.address.ip().to_string()).port(self.address.port()).to_url_lossy().to_string()
    }

    /// Cuts every connection, also new ones at once.
    pub fn cut(&self) {
        self.line.send_replace(Line::Cut);
    }

    /// Lets nothing more pass on any connection, without closing it, as a network does that drops packets.
    pub fn freeze(&self) {
        self.line.send_replace(Line::Frozen);
    }

    /// Passes new connections on again.
    pub fn mend(&self) {
        self.line.send_replace(Line::Open);
    }
}

pub fn brokers() -> Vec<String> {
    variable(KAFKA_VARIABLE).split(',').map(str::to_owned).collect()
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test`, or `stack with -- cargo test`"))
}

/// Waits until the service with this admin port is ready for calls.
pub async fn until_ready(admin: SocketAddr) {
    eventually("the service is ready", async || {
        let answer = reqwest::get(format!("http://{admin}/readyz")).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
}

/// Waits until the condition returns a value. If it takes too long, the test fails with the text `what`.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
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
