//! The programs of an installed Postgres, found or, where that needs no question, installed.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use super::account::Account;
use crate::packages::{self, in_path};

/// What to do where nothing can be installed without asking.
const INSTALL: &str = "install the PostgreSQL server (Debian, Ubuntu: sudo apt-get install postgresql; Fedora: sudo dnf \
                       install postgresql-server; macOS: brew install postgresql@17)";

/// Directories that hold one directory for each installed version: parent, then what follows the version.
const VERSIONED: [(&str, &str, &str); 4] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
];

/// An installation.
#[derive(Debug, Clone)]
pub(super) struct Server {
    bin: PathBuf,
    version: u32,
}

impl Server {
    /// The newest installation, or the one of the given major version.
    pub fn find(version: Option<u32>, account: Option<&Account>) -> anyhow::Result<Self> {
        let found = installations(account);
        let Some(version) = version else {
            return found.into_iter().next().with_context(|| format!("PostgreSQL is missing: {INSTALL}"));
        };
        let others = found.iter().map(|server| server.version.to_string()).collect::<Vec<_>>().join(", ");
        found.into_iter().find(|server| server.version == version).with_context(|| {
            format!(
                "the local data was made by PostgreSQL {version}, installed is {}: install version {version}, or begin \
                 anew with `make clean`",
                if others.is_empty() { "none" } else { &others }
            )
        })
    }

    /// A command of this installation, run as the account.
    pub fn command(&self, program: &str, account: Option<&Account>) -> Command {
        let mut command = Command::new(self.bin.join(program));
        // A variable of the caller's must not lead it to another server.
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

/// Installs a server where there is none, this is root and the system has `apt-get`; elsewhere [`Server::find`] says
/// what to do.
pub(super) fn install_if_missing(say: &mut (dyn FnMut(&str) + Send)) -> anyhow::Result<()> {
    packages::install_if_missing("postgresql", || !installations(None).is_empty(), INSTALL, say)
}

/// Every installation that works, newest first.
fn installations(account: Option<&Account>) -> Vec<Server> {
    let mut found: Vec<_> = directories().into_iter().filter_map(|bin| probe(bin, account)).collect();
    found.sort_by_key(|server| std::cmp::Reverse(server.version));
    found
}

/// Where the programs may be.
fn directories() -> Vec<PathBuf> {
    let mut directories: Vec<_> = in_path("postgres")
        // Links in a directory of links have no `initdb` or libraries beside them.
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

/// The installation in a directory, if the account can run it.
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
