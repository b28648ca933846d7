//! The account that Postgres runs as. Postgres refuses to run as root, so root runs it as an unprivileged account.

use std::{
    fs, io,
    os::unix::{
        fs::{MetadataExt as _, lchown},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
};

use anyhow::Context as _;

/// An unprivileged account of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

/// The best account comes first.
const UNPRIVILEGED: [&str; 3] = ["postgres", "_postgres", "nobody"];

impl Account {
    /// The account that Postgres must run as; none if it can run as the account of this process.
    pub fn for_postgres() -> anyhow::Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let accounts = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        UNPRIVILEGED
            .iter()
            .find_map(|name| {
                accounts.lines().find_map(|line| Self::parse(line).filter(|account| account.name == *name))
            })
            .map(Some)
            .context("Postgres does not run as root, and this machine has no account postgres or nobody for it")
    }

    /// Reads a line of `/etc/passwd`.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Self { name, uid, gid })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes the command run as this account, without supplementary groups.
    pub fn run(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Makes this account the owner of a file or directory. For a link, this means the link itself.
    pub fn give(&self, path: &Path) -> io::Result<()> {
        lchown(path, Some(self.uid), Some(self.gid))
    }

    /// Whether this account owns a file or directory. For a link, this means the link itself.
    pub fn owns(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|file| file.uid() == self.uid)
    }

    /// Whether this account can enter the directory and every directory above it.
    pub fn can_enter(&self, directory: &Path) -> bool {
        let Ok(directory) = directory.canonicalize() else { return false };
        directory.ancestors().all(|directory| {
            fs::metadata(directory).is_ok_and(|file| {
                let mode = file.mode();
                let enter = if file.uid() == self.uid {
                    0o100
                } else if file.gid() == self.gid {
                    0o010
                } else {
                    0o001
                };
                mode & enter != 0
            })
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn stranger() -> Account {
        Account::parse("stranger:x:4242:4243:Nobody at all:/nonexistent:/usr/sbin/nologin").unwrap()
    }

    #[test]
    fn an_account_is_read_from_its_line() {
        assert_eq!(stranger(), Account { name: "stranger".into(), uid: 4242, gid: 4243 });
        assert_eq!(Account::parse("+::::::"), None);
    }

    #[test]
    fn a_directory_below_a_closed_one_cannot_be_entered() {
        let closed = tempfile::tempdir_in("/var/tmp").unwrap();
        let inner = closed.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let mode = |mode| fs::set_permissions(closed.path(), fs::Permissions::from_mode(mode)).unwrap();

        mode(0o755);
        assert!(stranger().can_enter(&inner));
        mode(0o700);
        assert!(!stranger().can_enter(&inner));
        assert!(!stranger().can_enter(&closed.path().join("missing")));
    }
}
