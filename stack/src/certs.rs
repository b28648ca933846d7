//! Certificates for development: an authority, and one certificate it issued for each process and for people's clients.
//!
//! The authority's key is never written. Nobody who reads the directory can issue more certificates with it, and a
//! set is always of one piece: when one part is missing, wrong or about to expire, all of it is made anew.

mod authority;
mod check;

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;

use crate::{
    files::{replace, replace_secret},
    fleet::Service,
};

pub use authority::{Authority, Issued};

/// The names that have a certificate: `<name>.pem` with `<name>.key` beside it.
pub fn names() -> impl Iterator<Item = &'static str> {
    Service::ALL.into_iter().map(Service::name).chain(["product-service", "client"])
}

/// The authority's certificate, which all of them are verified with.
pub const CA_FILE: &str = "ca.pem";

/// A set that expires sooner than this is replaced.
const MARGIN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What [`ensure`] found to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The set in the directory is whole and valid.
    Kept,
    /// A new set was made, for this reason.
    Made(String),
}

/// Makes a set in `dir`, unless a whole one is there that stays valid for another week.
pub fn ensure(dir: &Path) -> anyhow::Result<Outcome> {
    match check::check(dir, SystemTime::now() + MARGIN) {
        Ok(()) => Ok(Outcome::Kept),
        Err(reason) => {
            generate(dir)?;
            Ok(Outcome::Made(reason))
        }
    }
}

/// Makes a new set in `dir`, over the one that is there. The authority can issue further certificates until it is
/// dropped.
pub fn generate(dir: &Path) -> anyhow::Result<Authority> {
    let authority = Authority::new()?;
    fs::create_dir_all(dir).with_context(|| format!("cannot make the directory {}", dir.display()))?;
    for name in names() {
        authority.issue(name)?.write(dir, name)?;
    }
    replace(&dir.join(CA_FILE), authority.pem(), 0o644)?;
    Ok(authority)
}

impl Issued {
    /// Writes `<name>.pem` and, readable for its owner alone, `<name>.key`.
    pub fn write(&self, dir: &Path, name: &str) -> anyhow::Result<()> {
        replace_secret(&dir.join(format!("{name}.key")), &self.key)?;
        replace(&dir.join(format!("{name}.pem")), &self.certificate, 0o644)
    }
}
