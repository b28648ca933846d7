//! TLS for both ends of a connection, with rustls. Certificates, keys and CAs are PEM files that are read again when
//! they change on disk; files that cannot be used leave the ones before them in place.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use anyhow::{Context as _, ensure};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};

use crate::config::service::{ClientTlsConfig, ServerTlsConfig};

/// HTTP/2 first, for gRPC; HTTP/1.1 for clients that speak nothing else.
const SERVER_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The TLS of a port.
#[derive(Clone)]
pub struct ServerTls(Arc<Files<ServerConfig>>);

impl ServerTls {
    /// Reads the files; fails when they cannot be used.
    pub fn load(config: &ServerTlsConfig) -> anyhow::Result<Self> {
        let paths = [Some(&config.certificate), Some(&config.key), config.client_ca.as_ref()];
        let config = config.clone();
        Files::load(paths, move || {
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

    /// What the next handshake uses.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.0.current()
    }
}

/// The TLS of calls to other services.
#[derive(Clone)]
pub struct ClientTls(Arc<Files<ClientConfig>>);

impl ClientTls {
    /// Reads the files; fails when they cannot be used.
    pub fn load(config: &ClientTlsConfig) -> anyhow::Result<Self> {
        let identity = config.identity.as_ref();
        let paths = [Some(&config.ca), identity.map(|(certificate, _)| certificate), identity.map(|(_, key)| key)];
        let config = config.clone();
        Files::load(paths, move || {
            let builder = ClientConfig::builder().with_root_certificates(roots(&config.ca)?);
            let mut client = match &config.identity {
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

    /// What the next handshake uses.
    pub fn current(&self) -> Arc<ClientConfig> {
        self.0.current()
    }
}

/// Chooses the process's cryptography; to be called once, before any TLS is set up.
pub fn install_crypto_provider() {
    // Fails only if one is installed already, which is as good.
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

fn mismatch(certificate: &Path, key: &Path) -> String {
    format!("{} and {} do not belong together", certificate.display(), key.display())
}

/// Something built from files, and built again when one of them changes.
struct Files<T> {
    paths: Vec<PathBuf>,
    build: Box<dyn Fn() -> anyhow::Result<T> + Send + Sync>,
    latest: Mutex<Latest<T>>,
}

struct Latest<T> {
    seen: Vec<Option<(SystemTime, u64)>>,
    built: Arc<T>,
}

impl<T> Files<T> {
    fn load<const N: usize>(
        paths: [Option<&PathBuf>; N],
        build: impl Fn() -> anyhow::Result<T> + Send + Sync + 'static,
    ) -> anyhow::Result<Arc<Self>> {
        let paths: Vec<PathBuf> = paths.into_iter().flatten().cloned().collect();
        let latest = Latest { seen: look_at(&paths), built: Arc::new(build()?) };
        Ok(Arc::new(Self { paths, build: Box::new(build), latest: Mutex::new(latest) }))
    }

    fn current(&self) -> Arc<T> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = look_at(&self.paths);
        if seen != latest.seen {
            // Looked at before reading: a change during the reading shows at the next handshake.
            latest.seen = seen;
            match (self.build)() {
                Ok(built) => {
                    latest.built = Arc::new(built);
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
        Arc::clone(&latest.built)
    }
}

fn look_at(paths: &[PathBuf]) -> Vec<Option<(SystemTime, u64)>> {
    paths.iter().map(|path| fs::metadata(path).and_then(|file| Ok((file.modified()?, file.len()))).ok()).collect()
}
