//! A private Postgres: a cluster of its own in a directory of its own, reachable on 127.0.0.1 with a password, run by
//! this process and stopped with it.

mod account;
mod cluster;
mod place;
mod scratch;
mod server;
mod stale;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::process::Signal;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::{
    ports,
    process::{self, Process},
};
use account::Account;
use cluster::Cluster;
use scratch::Scratch;
use server::Server;

/// The database and the role that every cluster has.
const SUPERUSER: &str = "postgres";

/// How long a cluster may take to start; after a crash it first replays its log.
const START: Duration = Duration::from_secs(60);

/// How long a server may write down what it has in memory.
const FAST_SHUTDOWN: Duration = Duration::from_secs(2);

/// How long a server may take that writes down nothing.
const IMMEDIATE_SHUTDOWN: Duration = Duration::from_secs(1);

/// More than the pools of three services and of a few replicas.
const CONNECTIONS: &str = "max_connections=200";

/// What a throw-away cluster does without: surviving a crash of the machine.
const CARELESS: [&str; 4] = ["fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=300"];

/// A running server. Dropping it stops it at once; [`stop`](Self::stop) does so in good order.
#[derive(Debug)]
pub struct Postgres {
    // Dropped before the directory it works in.
    process: Process,
    port: u16,
    password: String,
    scratch: Option<Scratch>,
}

impl Postgres {
    /// A server on a free port, in a temporary directory that goes when it does. Fast, and careless about crashes of
    /// the machine.
    pub async fn throw_away() -> anyhow::Result<Self> {
        server::install_if_missing(&mut |line| eprintln!("{line}"))?;
        let account = Account::for_postgres()?;
        let scratch = Scratch::new(account.as_ref()).await?;
        let server = Server::find(None, account.as_ref())?;
        let cluster = Cluster::create(&server, account, scratch.path(), cluster::Care::None)?;
        let log = scratch.path().join("postgres.log");
        Self::start(&server, &cluster, ports::free()?, &CARELESS, &log, Some(scratch)).await
    }

    /// A server that keeps its data in `<state>/postgres`, or in a directory that this is then a link to, when the
    /// account that Postgres must run as cannot reach it. `say` is told what takes long.
    pub async fn durable(
        state: &Path,
        port: u16,
        log: &Path,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> anyhow::Result<Self> {
        // Before the account is chosen: the package brings the one that suits best.
        server::install_if_missing(say)?;
        let account = Account::for_postgres()?;
        let home = place::prepare(&state.join("postgres"), account.as_ref(), say).await?;
        let server = Server::find(cluster::version(&home)?, account.as_ref())?;
        let cluster = Cluster::open_or_create(&server, account, &home, say)?;
        stale::stop(&cluster.data(), say).await?;
        Self::start(&server, &cluster, port, &[CONNECTIONS], log, None).await
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
        let mut postgres = Self { process, port, password: cluster.password().to_owned(), scratch };
        postgres.answers(log).await?;
        Ok(postgres)
    }

    async fn answers(&mut self, log: &Path) -> anyhow::Result<()> {
        let deadline = Instant::now() + START;
        loop {
            let error = match PgConnection::connect(&self.url(SUPERUSER)).await {
                Ok(connection) => return Ok(connection.close().await?),
                Err(error) => error,
            };
            if let Some(status) = self.process.exited() {
                bail!("Postgres {}:\n{}", process::describe(status), process::tail(log, 20));
            }
            if Instant::now() > deadline {
                bail!("Postgres does not answer ({error}):\n{}", process::tail(log, 20));
            }
            tokio::time::sleep(process::POLL).await;
        }
    }

    /// The superuser's connection string for a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Makes sure that there is a database of this name and a role of the same name that owns it; answers the role's
    /// connection string. The name is part of the program, never input.
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

    /// Ends every session and the server; a throw-away cluster's directory goes too.
    pub async fn stop(mut self) {
        // A fast shutdown: sessions are cut, data is written. If that takes too long, an immediate one: the next start
        // replays the log.
        if !self.process.ask(Signal::INT, FAST_SHUTDOWN).await {
            self.process.stop(Signal::QUIT, IMMEDIATE_SHUTDOWN).await;
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.scratch.is_some() || self.process.exited().is_none() {
            // Unlike a kill, this also ends the server's own children.
            self.process.stop_blocking(Signal::QUIT, IMMEDIATE_SHUTDOWN);
        }
    }
}

/// Where the cluster of this state directory is, if there is one: it may be elsewhere.
pub fn cluster_home(state: &Path) -> Option<PathBuf> {
    state.join("postgres").canonicalize().ok()
}

/// Stops the server that a killed launcher left running on this state directory.
pub(crate) async fn stop_stale(state: &Path, say: &mut (dyn FnMut(&str) + Send)) -> anyhow::Result<()> {
    match cluster_home(state) {
        Some(home) => stale::stop(&home.join("data"), say).await,
        None => Ok(()),
    }
}
