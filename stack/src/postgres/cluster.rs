//! The files of one cluster: the directory `data`, and the file `password`, which only the same account can read.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use uuid::Uuid;

use super::{SUPERUSER, account::Account, server::Server};
use crate::{Say, files::replace_secret};

#[derive(Debug)]
pub(super) struct Cluster {
    home: PathBuf,
    account: Option<Account>,
    password: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// The cluster survives a crash of the machine, and asks for passwords by SCRAM.
    Durable,
    /// For tests. They make many connections, and SCRAM would compute thousands of hashes for each.
    ThrowAway,
}

impl Cluster {
    /// Opens the cluster in `home`, or makes a durable one there.
    pub fn open_or_create(
        server: &Server,
        account: Option<Account>,
        home: &Path,
        say: Say<'_>,
    ) -> anyhow::Result<Self> {
        if home.join("data").exists() {
            let file = home.join("password");
            let password = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            return Ok(Self { home: home.to_owned(), account, password });
        }
        say("making a database cluster");
        Self::create(server, account, home, Durability::Durable)
    }

    /// Makes a cluster in `home`, a directory that exists and belongs to the account.
    pub fn create(
        server: &Server,
        account: Option<Account>,
        home: &Path,
        durability: Durability,
    ) -> anyhow::Result<Self> {
        let password = Uuid::new_v4().simple().to_string();
        let file = home.join("password");
        replace_secret(&file, &password)?;
        if let Some(account) = &account {
            account.give(&file).with_context(|| format!("cannot give {} away", file.display()))?;
        }

        // Renamed when it is complete, so that the cluster of an interrupted `initdb` is never opened.
        let unfinished = home.join("data.new");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).with_context(|| format!("cannot remove {}", unfinished.display()))?;
        }
        let mut initdb = server.command("initdb", account.as_ref());
        initdb
            .current_dir(home)
            .args(["--username", SUPERUSER, "--encoding", "UTF8", "--no-locale", "--pwfile"])
            .arg(&file)
            .arg("--pgdata")
            .arg(&unfinished);
        match durability {
            Durability::Durable => initdb.arg("--auth=scram-sha-256"),
            Durability::ThrowAway => initdb.args(["--auth=password", "--no-sync"]),
        };
        let output = initdb.output().context("cannot run initdb")?;
        if !output.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        fs::rename(&unfinished, home.join("data"))
            .with_context(|| format!("cannot rename {}", unfinished.display()))?;
        Ok(Self { home: home.to_owned(), account, password })
    }

    /// The directory with all files of this cluster.
    pub fn home(&self) -> &Path {
        &self.home
    }

    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// The account that the server must run as, if not that of this process.
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    pub fn password(&self) -> &str {
        &self.password
    }
}

/// The major version of Postgres that made the cluster in `home`; none if there is no cluster.
pub(super) fn version(home: &Path) -> anyhow::Result<Option<u32>> {
    let file = home.join("data/PG_VERSION");
    if !file.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let version = text.trim().parse().with_context(|| format!("{} holds no version: {text:?}", file.display()))?;
    Ok(Some(version))
}
