//! TLS for both ends of a connection, with rustls. Certificates, keys and CAs are PEM files. When the files change,
//! they are read again; if the new files cannot be used, the previous ones stay in use.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use anyhow::{Context as _, bail, ensure};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};

use crate::config::service::{ClientTlsConfig, ServerTlsConfig};

/// gRPC needs HTTP/2. HTTP/1.1 is for clients that speak nothing else.
const SERVER_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

#[derive(Clone)]
pub struct ServerTls(Arc<Reloading<ServerConfig>>);

impl ServerTls {
    pub fn load(config: &ServerTlsConfig) -> anyhow::Result<Self> {
        let paths = [Some(&config.certificate), Some(&config.key), config.client_ca.as_ref()];
        let config = config.clone();
        Reloading::load(paths, move || {
            let builder = ServerConfig::builder();
            let builder = match &config.client_ca {
                Some(ca) => {
                    builder.with_client_cert_verifier(WebPkiClientVerifier::builder(roots(ca)?.into()).build()?)
                }
                None => builder.with_no_client_auth(),
            };
            let mut server = builder
                .with_single_cert(certificates(&config.certificate)?, private_key(&config.key)?)
                .with_context(|| mismatch(&config.certificate, &config.key))?;
            server.alpn_protocols = SERVER_PROTOCOLS.map(Vec::from).into();
            Ok(server)
        })
        .map(Self)
    }

    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        self.0.current()
    }
}

#[derive(Clone)]
pub struct ClientTls(Arc<Reloading<ClientConfig>>);

impl ClientTls {
    pub fn load(config: &ClientTlsConfig) -> anyhow::Result<Self> {
        Self::of(Some(&config.ca), config.identity.as_ref())
    }

    /// Shows no certificate. Without a CA, those of the system are trusted.
    pub(crate) fn trusting(ca: Option<&PathBuf>) -> anyhow::Result<Self> {
        Self::of(ca, None)
    }

    fn of(ca: Option<&PathBuf>, identity: Option<&(PathBuf, PathBuf)>) -> anyhow::Result<Self> {
        let paths = [ca, identity.map(|(certificate, _)| certificate), identity.map(|(_, key)| key)];
        let (ca, identity) = (ca.cloned(), identity.cloned());
        Reloading::load(paths, move || {
            let trusted = ca.as_deref().map_or_else(roots_of_system, roots)?;
            let builder = ClientConfig::builder().with_root_certificates(trusted);
            let mut client = match &identity {
                Some((certificate, key)) => builder
                    .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
                    .with_context(|| mismatch(certificate, key))?,
                None => builder.with_no_client_auth(),
            };
            client.alpn_protocols = vec![b"h2".into()];
            Ok(client)
        })
        .map(Self)
    }

    pub(crate) fn current(&self) -> Arc<ClientConfig> {
        self.0.current()
    }
}

/// Chooses the cryptography of the process. Must be called before TLS is set up.
pub fn install_crypto_provider() {
    // Installing fails only if a provider is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("{} cannot be read as PEM certificates", path.display()))?;
    ensure!(!found.is_empty(), "{} holds no certificate", path.display());
    Ok(found)
}

fn private_key(path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path)
        .with_context(|| format!("{} cannot be read as a PEM private key", path.display()))
}

fn roots(path: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).with_context(|| format!("{} holds no valid CA", path.display()))?;
    }
    Ok(roots)
}

fn roots_of_system() -> anyhow::Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems have certificates that rustls does not take.
    roots.add_parsable_certificates(found.certs);
    match found.errors.into_iter().next() {
        _ if !roots.is_empty() => Ok(roots),
        Some(error) => Err(error).context("the CAs of the system cannot be read"),
        None => bail!("the system has no CAs"),
    }
}

fn mismatch(certificate: &Path, key: &Path) -> String {
    format!("{} and {} do not belong together", certificate.display(), key.display())
}

/// A value that is built from files, and built again when one of them changes.
struct Reloading<T> {
    paths: Vec<PathBuf>,
    build: Box<dyn Fn() -> anyhow::Result<T> + Send + Sync>,
    current: Mutex<Loaded<T>>,
}

struct Loaded<T> {
    stamps: Vec<Option<Stamp>>,
    value: Arc<T>,
}

/// The modification time and the size of a file.
type Stamp = (SystemTime, u64);

impl<T> Reloading<T> {
    fn load<const N: usize>(
        paths: [Option<&PathBuf>; N],
        build: impl Fn() -> anyhow::Result<T> + Send + Sync + 'static,
    ) -> anyhow::Result<Arc<Self>> {
        let paths: Vec<PathBuf> = paths.into_iter().flatten().cloned().collect();
        let loaded = Loaded { stamps: stamps(&paths), value: Arc::new(build()?) };
        Ok(Arc::new(Self { paths, build: Box::new(build), current: Mutex::new(loaded) }))
    }

    /// The value for the next handshake.
    fn current(&self) -> Arc<T> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // The stamps are taken before the files are read. A change in between shows at the next handshake.
        let stamps = stamps(&self.paths);
        if stamps != current.stamps {
            current.stamps = stamps;
            match (self.build)() {
                Ok(value) => {
                    current.value = Arc::new(value);
                    tracing::info!(files = ?self.paths, "certificates changed on disk and are in use");
                }
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "certificates changed on disk and cannot be used; the ones before them stay"
                    );
                }
            }
        }
        Arc::clone(&current.value)
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    paths.iter().map(|path| fs::metadata(path).and_then(|file| Ok((file.modified()?, file.len()))).ok()).collect()
}
