//! A certificate authority that lives in memory only.

use chrono::{Datelike as _, Days, NaiveDate, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// How long a set is valid, in days.
const VALIDITY: u64 = 365;

/// Names of the local machine, which every development certificate is valid for as well.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Issues certificates that are verified with its [`pem`](Self::pem).
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its private key, both as PEM. It serves as a server's and as a client's.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl Authority {
    /// A new authority, unrelated to any other.
    pub fn new() -> Result<Self, rcgen::Error> {
        let mut params = valid_from_now(CertificateParams::default(), "route256 development CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// The authority's own certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for `name` and for the names of the local machine.
    pub fn issue(&self, name: &str) -> Result<Issued, rcgen::Error> {
        let names: Vec<_> = [name].into_iter().chain(LOCAL).collect();
        self.issue_for(&names)
    }

    /// A certificate for exactly these DNS names and addresses; the first is its common name.
    pub fn issue_for(&self, names: &[&str]) -> Result<Issued, rcgen::Error> {
        let subject = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let common_name = names.first().copied().unwrap_or_default();
        let mut params = valid_from_now(CertificateParams::new(subject)?, common_name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued { certificate, key: key.serialize_pem() })
    }
}

fn valid_from_now(mut params: CertificateParams, common_name: &str) -> CertificateParams {
    // Yesterday, for peers whose clocks are behind.
    let first = Utc::now().date_naive() - Days::new(1);
    let last = first + Days::new(VALIDITY);
    let midnight = |day: NaiveDate| rcgen::date_time_ymd(day.year(), day.month() as u8, day.day() as u8);
    params.not_before = midnight(first);
    params.not_after = midnight(last);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "route256");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}
