//! Finds the programs of an installed Postgres, or installs one if that is possible without asking the user.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use super::account::Account;
use crate::{
    Say,
    packages::{self, in_path},
};

/// The end of the message that Postgres is missing.
const INSTALL: &str = "install the PostgreSQL server (Debian, Ubuntu: sudo apt-get install postgresql; Fedora: sudo dnf \
                       install postgresql-server; macOS: brew install postgresql@17)";

/// Parent, prefix and bin. The programs of a version are in `<parent>/<prefix><version>/<bin>`.
const VERSIONED: [(&str, &str, &str); 4] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
];

#[derive(Debug, Clone)]
pub(super) struct Server {
    bin: PathBuf,
    version: u32,
}

impl Server {
    /// Finds the newest installation, or the one of this major version.
    pub fn find(version: Option<u32>, account: Option<&Account>) -> anyhow::Result<Self> {
        let installed = installations(account);
        let Some(version) = version else {
            return installed.into_iter().next().with_context(|| format!("PostgreSQL is missing: {INSTALL}"));
        };
        let others = installed.iter().map(|server| server.version.to_string()).collect::<Vec<_>>().join(", ");
        installed.into_iter().find(|server| server.version == version).with_context(|| {
            format!(
                "the local data was made by PostgreSQL {version}, installed is {}: install version {version}, or begin \
                 anew with `make clean`",
                if others.is_empty() { "none" } else { &others }
            )
        })
    }

    /// A program of this installation, to run as the account.
    pub fn command(&self, program: &str, account: Option<&Account>) -> Command {
        let mut command = Command::new(self.bin.join(program));
        // Postgres's variables in our environment must not lead the program to another server.
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        if let Some(account) = account {
            account.run(&mut command);
        }
        command
    }
}

/// If this does nothing, [`Server::find`] says how to install Postgres by hand.
pub(super) fn install_if_missing(say: Say<'_>) -> anyhow::Result<()> {
    packages::install_if_missing("postgresql", || !installations(None).is_empty(), INSTALL, say)
}

/// Every installation that the account can run, newest first.
fn installations(account: Option<&Account>) -> Vec<Server> {
    let mut servers: Vec<_> = directories().into_iter().filter_map(|bin| probe(bin, account)).collect();
    servers.sort_by_key(|server| std::cmp::Reverse(server.version));
    servers
}

/// The directories in which the programs may be.
fn directories() -> Vec<PathBuf> {
    let mut directories: Vec<_> = in_path("postgres")
        // The search path may have only a link to the program, without `initdb` and the libraries beside it.
        .and_then(|program| program.canonicalize().ok())
        .and_then(|program| program.parent().map(Path::to_owned))
        .into_iter()
        .collect();
    for (parent, prefix, bin) in VERSIONED {
        let Ok(entries) = Path::new(parent).read_dir() else { continue };
        let matching = entries.flatten().filter(|entry| {
            let name = entry.file_name();
            let version = name.to_str().and_then(|name| name.strip_prefix(prefix));
            version.is_some_and(|version| version.parse::<u32>().is_ok())
        });
        directories.extend(matching.map(|entry| entry.path().join(bin)));
    }
    directories
}

/// The installation in a directory, if there is one and the account can run it.
fn probe(bin: PathBuf, account: Option<&Account>) -> Option<Server> {
    if !bin.join("initdb").exists() || account.is_some_and(|account| !account.can_enter(&bin)) {
        return None;
    }
    let output = Command::new(bin.join("postgres")).arg("--version").output().ok()?;
    let version = major(&String::from_utf8_lossy(&output.stdout))?;
    Some(Server { bin, version })
}

/// The major version in `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)`.
fn major(text: &str) -> Option<u32> {
    let version = text.split_whitespace().nth(2)?;
    version.split(|other: char| !other.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_postgres_says() {
        assert_eq!(major("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major("bash: postgres: command not found\n"), None);
    }
}
