//! Certificates for development: one authority, and a certificate from it for each process and for people's clients.
//!
//! The authority's key is never written to a file, so nobody who reads the directory can issue more certificates. For
//! the same reason a set is replaced as a whole when one of its files is missing, wrong or about to expire.

mod authority;
mod check;

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::{
    files::{replace, replace_secret},
    fleet::Service,
};

pub use authority::{Authority, Issued};

/// The names that have a certificate, `<name>.pem`, and a key, `<name>.key`.
pub fn names() -> impl Iterator<Item = &'static str> {
    Service::ALL.into_iter().map(Service::name).chain(["product-service", "client"])
}

/// The authority's certificate. All others are verified with it.
pub const CA_FILE: &str = "ca.pem";

/// A set that expires sooner than this is replaced.
const RENEW_BEFORE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What [`ensure`] did with the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateSet {
    Kept,
    /// A new set was made, for this reason.
    Made(String),
}

/// Makes a set in `dir`, unless `dir` has a whole set that stays valid for another week.
pub fn ensure(dir: &Path) -> anyhow::Result<CertificateSet> {
    match check::check(dir, SystemTime::now() + RENEW_BEFORE) {
        Ok(()) => Ok(CertificateSet::Kept),
        Err(reason) => {
            generate(dir)?;
            Ok(CertificateSet::Made(reason))
        }
    }
}

/// Makes a new set in `dir`, which replaces an older one. The returned authority can issue more certificates.
pub fn generate(dir: &Path) -> anyhow::Result<Authority> {
    let authority = Authority::new()?;
    fs::create_dir_all(dir).with_context(|| format!("cannot make the directory {}", dir.display()))?;
    for name in names() {
        authority.issue(name)?.write(dir, name)?;
    }
    replace(&dir.join(CA_FILE), authority.pem(), 0o644)?;
    Ok(authority)
}

/// TLS for a client that shows the certificate `client.pem` and trusts this set's authority.
pub fn client_tls(dir: &Path) -> anyhow::Result<ClientTlsConfig> {
    Ok(ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(dir, CA_FILE)?))
        .identity(Identity::from_pem(read(dir, "client.pem")?, read(dir, "client.key")?)))
}

/// A client of HTTP that trusts this set's authority alone.
pub fn http_client(dir: &Path) -> anyhow::Result<reqwest::ClientBuilder> {
    let authority = reqwest::Certificate::from_pem(&read(dir, CA_FILE)?)?;
    Ok(reqwest::Client::builder().tls_certs_only([authority]))
}

/// What such a client shows where callers are asked for a certificate: `client.pem`.
pub fn http_identity(dir: &Path) -> anyhow::Result<reqwest::Identity> {
    let (certificate, key) = (read(dir, "client.pem")?, read(dir, "client.key")?);
    Ok(reqwest::Identity::from_pem(&[certificate, key].concat())?)
}

fn read(dir: &Path, file: &str) -> anyhow::Result<Vec<u8>> {
    fs::read(dir.join(file)).with_context(|| format!("cannot read {file} in {}", dir.display()))
}

impl Issued {
    /// Writes `<name>.pem` and `<name>.key`. Only the owner can read the key.
    pub fn write(&self, dir: &Path, name: &str) -> anyhow::Result<()> {
        replace_secret(&dir.join(format!("{name}.key")), &self.key)?;
        replace(&dir.join(format!("{name}.pem")), &self.certificate, 0o644)
    }
}
