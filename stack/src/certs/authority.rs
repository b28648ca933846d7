//! A certificate authority that exists only in memory.

use chrono::{Datelike as _, Days, NaiveDate, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

const VALIDITY_DAYS: u64 = 365;

/// Every development certificate is also valid for these names of the local machine.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Issues certificates. Peers verify them with the authority's own certificate, [`pem`](Self::pem).
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its private key, both as PEM. Servers and clients can use it.
#[derive(Debug, Clone)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Result<Self, rcgen::Error> {
        let mut params = valid_for(VALIDITY_DAYS, CertificateParams::default(), "route256 development CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Issues a certificate for `name` and for the names of the local machine.
    pub fn issue(&self, name: &str) -> Result<Issued, rcgen::Error> {
        let names: Vec<_> = [name].into_iter().chain(LOCAL_NAMES).collect();
        self.issue_for(&names)
    }

    /// Issues a certificate for exactly these DNS names and addresses. The first is the common name.
    pub fn issue_for(&self, names: &[&str]) -> Result<Issued, rcgen::Error> {
        self.issue_for_days(VALIDITY_DAYS, names)
    }

    /// Issues one that ends at a midnight so many days after yesterday.
    pub fn issue_for_days(&self, days: u64, names: &[&str]) -> Result<Issued, rcgen::Error> {
        let subject = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let common_name = names.first().copied().unwrap_or_default();
        let mut params = valid_for(days, CertificateParams::new(subject)?, common_name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued { certificate, key: key.serialize_pem() })
    }
}

fn valid_for(days: u64, mut params: CertificateParams, common_name: &str) -> CertificateParams {
    // Valid since yesterday, for peers whose clocks are behind.
    let first = Utc::now().date_naive() - Days::new(1);
    let last = first + Days::new(days);
    let midnight = |day: NaiveDate| rcgen::date_time_ymd(day.year(), day.month() as u8, day.day() as u8);
    params.not_before = midnight(first);
    params.not_after = midnight(last);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "route256");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}
