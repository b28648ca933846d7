//! TLS for both ends of a connection, with rustls. Certificates, keys and CAs are PEM files. When the files change,
//! they are read again; if the new files cannot be used, the previous ones stay in use. Metrics tell when those in use end.

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

use crate::{
    config::service::{ClientTlsConfig, ServerTlsConfig},
    metrics::tls as metrics,
};

/// gRPC needs HTTP/2. HTTP/1.1 is for clients that speak nothing else.
const SERVER_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

#[derive(Clone)]
pub struct ServerTls(Arc<Reloading<ServerConfig>>);

impl ServerTls {
    pub fn load(config: &ServerTlsConfig) -> anyhow::Result<Self> {
        let paths = [Some(&config.certificate), Some(&config.key), config.client_ca.as_ref()];
        let config = config.clone();
        Reloading::load(paths, move || {
            let mut ends = Ends::new();
            let builder = ServerConfig::builder();
            let builder = match &config.client_ca {
                Some(ca) => {
                    let roots = roots("grpc.tls.client_ca", ca, &mut ends)?;
                    builder.with_client_cert_verifier(WebPkiClientVerifier::builder(roots.into()).build()?)
                }
                None => builder.with_no_client_auth(),
            };
            let certificates = certificates("grpc.tls.certificate", &config.certificate, &mut ends)?;
            let mut server = builder
                .with_single_cert(certificates, private_key(&config.key)?)
                .with_context(|| mismatch(&config.certificate, &config.key))?;
            server.alpn_protocols = SERVER_PROTOCOLS.map(Vec::from).into();
            Ok((server, ends))
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
        Self::of("client_tls", Some(&config.ca), config.identity.as_ref())
    }

    /// For the collector of traces. Shows no certificate. Without a CA, those of the system are trusted.
    pub(crate) fn of_collector(ca: Option<&PathBuf>) -> anyhow::Result<Self> {
        Self::of("jaeger", ca, None)
    }

    /// `section` is that of the configuration that names the files.
    fn of(section: &'static str, ca: Option<&PathBuf>, identity: Option<&(PathBuf, PathBuf)>) -> anyhow::Result<Self> {
        let paths = [ca, identity.map(|(certificate, _)| certificate), identity.map(|(_, key)| key)];
        let (ca, identity) = (ca.cloned(), identity.cloned());
        Reloading::load(paths, move || {
            let mut ends = Ends::new();
            let trusted = match &ca {
                Some(ca) => roots(&format!("{section}.ca"), ca, &mut ends)?,
                None => roots_of_system()?,
            };
            let builder = ClientConfig::builder().with_root_certificates(trusted);
            let mut client = match &identity {
                Some((certificate, key)) => {
                    let shown = certificates(&format!("{section}.certificate"), certificate, &mut ends)?;
                    builder
                        .with_client_auth_cert(shown, private_key(key)?)
                        .with_context(|| mismatch(certificate, key))?
                }
                None => builder.with_no_client_auth(),
            };
            client.alpn_protocols = vec![b"h2".into()];
            Ok((client, ends))
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

/// When certificates end, in seconds since 1970, by the key of the configuration that names their file.
type Ends = Vec<(String, i64)>;

/// Notes when the first of them ends.
fn certificates(key: &str, path: &Path, ends: &mut Ends) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("{} cannot be read as PEM certificates", path.display()))?;
    ensure!(!found.is_empty(), "{} holds no certificate", path.display());
    // rustls is not asked: it looks at the time of a certificate only when a peer shows it.
    let read = found.iter().filter_map(|certificate| x509_parser::parse_x509_certificate(certificate).ok());
    ends.extend(
        read.map(|(_, certificate)| certificate.validity().not_after.timestamp())
            .min()
            .map(|end| (key.to_owned(), end)),
    );
    Ok(found)
}

fn private_key(path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path)
        .with_context(|| format!("{} cannot be read as a PEM private key", path.display()))
}

fn roots(key: &str, path: &Path, ends: &mut Ends) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(key, path, ends)? {
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

/// Looks for changed files now, and not only at the next handshake.
pub(crate) fn refresh() {
    IN_USE.lock().unwrap_or_else(PoisonError::into_inner).retain(|refresh| refresh());
}

/// Refreshes all that is built from files; answers whether it is still in use.
static IN_USE: Mutex<Vec<Box<dyn Fn() -> bool + Send>>> = Mutex::new(Vec::new());

/// A value that is built from files, and built again when one of them changes.
struct Reloading<T> {
    paths: Vec<PathBuf>,
    build: Build<T>,
    current: Mutex<Loaded<T>>,
}

/// Builds a value, and says when the certificates in it end.
type Build<T> = Box<dyn Fn() -> anyhow::Result<(T, Ends)> + Send + Sync>;

struct Loaded<T> {
    stamps: Vec<Option<Stamp>>,
    value: Arc<T>,
}

/// The modification time and the size of a file.
type Stamp = (SystemTime, u64);

impl<T: Send + Sync + 'static> Reloading<T> {
    fn load<const N: usize>(
        paths: [Option<&PathBuf>; N],
        build: impl Fn() -> anyhow::Result<(T, Ends)> + Send + Sync + 'static,
    ) -> anyhow::Result<Arc<Self>> {
        let paths: Vec<PathBuf> = paths.into_iter().flatten().cloned().collect();
        let stamps = stamps(&paths);
        let (value, ends) = build()?;
        show(&ends);
        let current = Mutex::new(Loaded { stamps, value: Arc::new(value) });
        let reloading = Arc::new(Self { paths, build: Box::new(build), current });
        let one = Arc::downgrade(&reloading);
        let refresh = move || one.upgrade().map(|one| one.current()).is_some();
        IN_USE.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(refresh));
        Ok(reloading)
    }

    /// The value for the next handshake.
    fn current(&self) -> Arc<T> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // The stamps are taken before the files are read. A change in between shows at the next handshake.
        let stamps = stamps(&self.paths);
        if stamps != current.stamps {
            current.stamps = stamps;
            match (self.build)() {
                Ok((value, ends)) => {
                    current.value = Arc::new(value);
                    show(&ends);
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

fn show(ends: &Ends) {
    for (key, end) in ends {
        metrics::CERTIFICATE_ENDS.with_label_values(&[key]).set(*end);
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    paths.iter().map(|path| fs::metadata(path).and_then(|file| Ok((file.modified()?, file.len()))).ok()).collect()
}
