//! Runs PgBouncer before a Postgres, for tests. Each transaction gets another session.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context as _;
use reqwest::Url;
use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};

use super::{account::Account, scratch::Scratch};
use crate::{packages, ports, process::Process};

const INSTALL: &str = "install it (Debian, Ubuntu: sudo apt-get install pgbouncer, then sudo systemctl disable --now \
                       pgbouncer, as tests run their own; macOS: brew install pgbouncer)";

const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A running PgBouncer. Dropping it kills it.
#[derive(Debug)]
pub struct PgBouncer {
    _process: Process,
    url: Url,
    // Removed after the process has ended.
    _directory: Scratch,
}

impl PgBouncer {
    /// Starts one that leads to the server, the user and the database of a connection string. `settings` are more lines
    /// for the section `pgbouncer` of its configuration.
    pub async fn start(url: &str, settings: &str) -> anyhow::Result<Self> {
        let program = packages::program("pgbouncer", "pgbouncer", INSTALL)?;
        let account = Account::for_postgres()?;
        let directory = Scratch::new(account.as_ref()).await?;
        let mut url = Url::parse(url).context("a connection string")?;
        let (host, port) = (url.host_str().unwrap_or_default().to_owned(), url.port().unwrap_or(5432));
        let own = ports::free()?;
        let file = |name: &str, text: &str| -> anyhow::Result<PathBuf> {
            let path = directory.path().join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            Ok(path)
        };
        let users = format!("\"{}\" \"{}\"\n", url.username(), url.password().unwrap_or_default());
        let users = file("users.txt", &users)?;
        let config = format!(
            "[databases]\n* = host={host} port={port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {own}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\n{settings}\n",
            users.display()
        );
        let config = file("pgbouncer.ini", &config)?;
        let mut command = std::process::Command::new(program);
        command.arg(&config);
        if let Some(account) = &account {
            account.give(&users)?;
            account.give(&config)?;
            account.run(&mut command);
        }
        let log = directory.path().join("pgbouncer.log");
        let mut process = Process::spawn("pgbouncer", command, &log)?;
        url.set_port(Some(own)).map_err(|()| anyhow::anyhow!("a connection string without a host"))?;
        let options: PgConnectOptions = url.as_str().parse()?;
        let options = options.extra_float_digits(None);
        let check = async || options.connect().await.map(drop).map_err(|error| format!("does not answer ({error})"));
        process.wait_until(check, START_TIMEOUT, "PgBouncer", &log).await?;
        Ok(Self { _process: process, url, _directory: directory })
    }

    /// The connection string that leads through it.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }
}
