//! Checks that a directory holds a set of certificates which clients and servers will accept.

use std::{path::Path, sync::Arc, time::SystemTime};

use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    sign::CertifiedKey,
};

use super::{CA_FILE, names};

/// Verifies every certificate as a client would at the time `at`. The error describes the first wrong file.
pub(super) fn check(dir: &Path, at: SystemTime) -> Result<(), String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = verifier(&dir.join(CA_FILE), &provider)?;
    let at = UnixTime::since_unix_epoch(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    for name in names() {
        check_pair(dir, name, &verifier, &provider, at)?;
    }
    Ok(())
}

fn verifier(ca: &Path, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{CA_FILE}: {error}");
    if !ca.exists() {
        return Err(format!("{CA_FILE} is missing"));
    }
    let certificate = CertificateDer::from_pem_file(ca).map_err(|error| wrong(&error))?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).map_err(|error| wrong(&error))?;
    WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(provider))
        .build()
        .map_err(|error| wrong(&error))
}

fn check_pair(
    dir: &Path,
    name: &'static str,
    verifier: &WebPkiServerVerifier,
    provider: &CryptoProvider,
    at: UnixTime,
) -> Result<(), String> {
    let (certificate, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
    if !certificate.exists() || !key.exists() {
        return Err(format!("{name}.pem or {name}.key is missing"));
    }
    let wrong = |error: &dyn std::fmt::Display| format!("{name}: {error}");
    let certificate = CertificateDer::from_pem_file(certificate).map_err(|error| wrong(&error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(&error))?;
    let server = ServerName::try_from(name).map_err(|error| wrong(&error))?;
    verifier.verify_server_cert(&certificate, &[], &server, &[], at).map_err(|error| wrong(&error))?;
    // This fails if the key does not belong to the certificate.
    CertifiedKey::from_der(vec![certificate], key, provider).map_err(|error| wrong(&error))?;
    Ok(())
}
