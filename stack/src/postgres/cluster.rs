//! The files of one cluster: `data` and, beside it and readable for the same account alone, the password.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use uuid::Uuid;

use super::{SUPERUSER, account::Account, server::Server};
use crate::files::replace_secret;

/// A cluster that was made before.
#[derive(Debug)]
pub(super) struct Cluster {
    home: PathBuf,
    account: Option<Account>,
    password: String,
}

/// How carefully a cluster is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// Written to disk; passwords never cross a connection.
    Full,
    /// For tests, which make many connections: whether the machine may crash does not matter, and SCRAM's thousands of
    /// hash rounds for each connection do.
    None,
}

impl Cluster {
    /// Opens the cluster in `home`, or makes one there.
    pub fn open_or_create(
        server: &Server,
        account: Option<Account>,
        home: &Path,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> anyhow::Result<Self> {
        if home.join("data").exists() {
            let file = home.join("password");
            let password = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            return Ok(Self { home: home.to_owned(), account, password });
        }
        say("making a database cluster");
        Self::create(server, account, home, Care::Full)
    }

    /// Makes a cluster in `home`, an existing directory of the account.
    pub fn create(server: &Server, account: Option<Account>, home: &Path, care: Care) -> anyhow::Result<Self> {
        let password = Uuid::new_v4().simple().to_string();
        let file = home.join("password");
        replace_secret(&file, &password)?;
        if let Some(account) = &account {
            account.give(&file).with_context(|| format!("cannot give {} away", file.display()))?;
        }

        // Renamed once it is whole, so that an interrupted one is never opened.
        let unfinished = home.join("data.new");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        let mut initdb = server.command("initdb", account.as_ref());
        initdb
            .current_dir(home)
            .args(["--username", SUPERUSER, "--encoding", "UTF8", "--no-locale", "--pwfile"])
            .arg(&file)
            .arg("--pgdata")
            .arg(&unfinished);
        match care {
            Care::Full => initdb.arg("--auth=scram-sha-256"),
            Care::None => initdb.args(["--auth=password", "--no-sync"]),
        };
        let output = initdb.output().context("cannot run initdb")?;
        if !output.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        fs::rename(&unfinished, home.join("data"))?;
        Ok(Self { home: home.to_owned(), account, password })
    }

    /// The directory around everything of this cluster.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Postgres's data directory.
    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// Who the server runs as, when not as this process.
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// The superuser's password.
    pub fn password(&self) -> &str {
        &self.password
    }
}

/// The major version that the cluster in `home` was made by, if there is one.
pub(super) fn version(home: &Path) -> anyhow::Result<Option<u32>> {
    let file = home.join("data/PG_VERSION");
    if !file.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let version = text.trim().parse().with_context(|| format!("{} holds no version: {text:?}", file.display()))?;
    Ok(Some(version))
}
