//! Runs a private Postgres with a cluster of its own, on 127.0.0.1 and with a password. It stops with this process.

mod account;
mod cluster;
mod place;
mod pooler;
mod scratch;
mod server;
mod stale;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::Signal;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::{Say, ports, process::Process, terminal};
use account::Account;
use cluster::Cluster;
pub use pooler::PgBouncer;
use scratch::Scratch;
use server::Server;

/// The name of the superuser, and of the database that every cluster has.
pub(crate) const SUPERUSER: &str = "postgres";

/// Long, because after a crash Postgres first replays its log.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A fast shutdown writes the data in memory to disk.
const FAST_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// An immediate shutdown writes nothing.
const IMMEDIATE_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Connections for the pools of three services and a few replicas.
const DURABLE_SETTINGS: [&str; 1] = ["max_connections=200"];

/// Part of the same package as the server.
const COUNTING: &str = "shared_preload_libraries=pg_stat_statements";

/// Fast settings. After a crash of the machine the cluster would be damaged.
const THROW_AWAY_SETTINGS: [&str; 4] =
    ["fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=300"];

/// A running server. Dropping it stops it at once; [`stop`](Self::stop) lets it write its data first.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    port: u16,
    password: String,
    // Removed after the server has stopped.
    _scratch: Option<Scratch>,
}

impl Postgres {
    /// Starts a server on a free port, in a temporary directory that is removed with it.
    pub async fn throw_away() -> anyhow::Result<Self> {
        server::install_if_missing(&mut |line| terminal::print_error(line))?;
        let account = Account::for_postgres()?;
        let scratch = Scratch::new(account.as_ref()).await?;
        let server = Server::find(None, account.as_ref())?;
        let cluster = Cluster::create(&server, account, scratch.path(), cluster::Durability::ThrowAway)?;
        let log = scratch.path().join("postgres.log");
        Self::start(&server, &cluster, ports::free()?, &THROW_AWAY_SETTINGS, &log, Some(scratch)).await
    }

    /// Starts a server that keeps its data in `<state>/postgres`. If the account that runs Postgres cannot enter that
    /// directory, the data is elsewhere, behind a link. With `counts`, the view `pg_stat_statements` of the superuser's
    /// database says what statements cost.
    pub async fn durable(state: &Path, port: u16, counts: bool, log: &Path, say: Say<'_>) -> anyhow::Result<Self> {
        // Before the account is chosen, because the package makes the account that is best for Postgres.
        server::install_if_missing(say)?;
        let account = Account::for_postgres()?;
        let home = place::prepare(&state.join("postgres"), account.as_ref(), say).await?;
        let server = Server::find(cluster::version(&home)?, account.as_ref())?;
        let cluster = Cluster::open_or_create(&server, account, &home, say)?;
        stale::stop(&cluster.data(), say).await?;
        let settings: Vec<_> = DURABLE_SETTINGS.into_iter().chain(counts.then_some(COUNTING)).collect();
        let postgres = Self::start(&server, &cluster, port, &settings, log, None).await?;
        if counts {
            let mut connection = PgConnection::connect(&postgres.url(SUPERUSER)).await?;
            sqlx::raw_sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").execute(&mut connection).await?;
            connection.close().await?;
        }
        Ok(postgres)
    }

    async fn start(
        server: &Server,
        cluster: &Cluster,
        port: u16,
        settings: &[&str],
        log: &Path,
        scratch: Option<Scratch>,
    ) -> anyhow::Result<Self> {
        let mut command = server.command("postgres", cluster.account());
        command.current_dir(cluster.home()).arg("-D").arg(cluster.data()).args(["-p", &port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories="].iter().chain(settings) {
            command.args(["-c", setting]);
        }
        let process = Process::spawn("postgres", command, log)?;
        let mut postgres = Self { process, port, password: cluster.password().to_owned(), _scratch: scratch };
        let url = postgres.url(SUPERUSER);
        let check = async || {
            let closed = async { PgConnection::connect(&url).await?.close().await };
            closed.await.map_err(|error| format!("does not answer ({error})"))
        };
        postgres.process.wait_until(check, START_TIMEOUT, "Postgres", log).await?;
        Ok(postgres)
    }

    /// The superuser's connection string for a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Makes a database, and a role of the same name that owns it, if they are missing. Returns the role's connection
    /// string. The name becomes SQL as it is, so it must be a constant of the program.
    pub async fn database(&self, name: &'static str) -> anyhow::Result<String> {
        let mut connection = PgConnection::connect(&self.url(SUPERUSER)).await?;
        let (roles, databases): (i64, i64) = sqlx::query_as(
            "select (select count(*) from pg_roles where rolname = $1), \
             (select count(*) from pg_database where datname = $1)",
        )
        .bind(name)
        .fetch_one(&mut connection)
        .await?;
        let mut statements = Vec::new();
        if roles == 0 {
            statements.push(format!("create role {name} login password '{}'", self.password));
        }
        if databases == 0 {
            statements.push(format!("create database {name} owner {name}"));
        }
        for statement in statements {
            sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&mut connection)
                .await
                .with_context(|| format!("cannot create the database {name}"))?;
        }
        connection.close().await?;
        Ok(format!("postgres://{name}:{}@127.0.0.1:{}/{name}", self.password, self.port))
    }

    /// Ends all sessions and the server.
    pub async fn stop(mut self) {
        // SIGINT asks for a fast shutdown, SIGQUIT for an immediate one, after which the next start replays the log.
        if !self.process.ask(Signal::INT, FAST_SHUTDOWN_TIMEOUT).await {
            self.process.stop(Signal::QUIT, IMMEDIATE_SHUTDOWN_TIMEOUT).await;
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Unlike a kill, this also ends the server's own children.
        self.process.stop_blocking(Signal::QUIT, IMMEDIATE_SHUTDOWN_TIMEOUT);
    }
}

/// The directory of this state directory's cluster, which may be elsewhere; none if there is no cluster.
pub fn cluster_home(state: &Path) -> Option<PathBuf> {
    state.join("postgres").canonicalize().ok()
}

/// Stops the server that a killed launcher left running on this state directory.
pub(crate) async fn stop_stale(state: &Path, say: Say<'_>) -> anyhow::Result<()> {
    match cluster_home(state) {
        Some(home) => stale::stop(&home.join("data"), say).await,
        None => Ok(()),
    }
}
