//! Certificates for development.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use stack::certs::{self, Authority, CertificateSet};
use tempfile::TempDir;

fn new_set() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(certs::ensure(dir.path()).unwrap(), CertificateSet::Made("ca.pem is missing".into()));
    dir
}

fn reason_for_new_set(dir: &Path) -> String {
    match certs::ensure(dir).unwrap() {
        CertificateSet::Made(reason) => reason,
        CertificateSet::Kept => panic!("the set was kept"),
    }
}

#[test]
fn a_whole_set_is_made_once_and_then_kept() {
    let dir = new_set();
    let before = fs::read(dir.path().join("ca.pem")).unwrap();
    assert_eq!(certs::ensure(dir.path()).unwrap(), CertificateSet::Kept);
    assert_eq!(fs::read(dir.path().join("ca.pem")).unwrap(), before);
    let mut files: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!(
        files,
        [
            "ca.pem",
            "checkout.key",
            "checkout.pem",
            "client.key",
            "client.pem",
            "loms.key",
            "loms.pem",
            "notifications.key",
            "notifications.pem",
            "product-service.key",
            "product-service.pem",
        ]
    );
}

#[test]
fn private_keys_are_readable_for_their_owner_alone() {
    let dir = new_set();
    for name in certs::names() {
        let mode = fs::metadata(dir.path().join(format!("{name}.key"))).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}.key");
    }
}

#[test]
fn a_set_with_a_missing_a_foreign_or_a_damaged_part_is_made_anew() {
    let dir = new_set();
    fs::remove_file(dir.path().join("loms.key")).unwrap();
    assert_eq!(reason_for_new_set(dir.path()), "loms.pem or loms.key is missing");

    Authority::new().unwrap().issue("client").unwrap().write(dir.path(), "client").unwrap();
    assert!(reason_for_new_set(dir.path()).starts_with("client: invalid peer certificate"));

    fs::copy(dir.path().join("checkout.key"), dir.path().join("loms.key")).unwrap();
    assert!(reason_for_new_set(dir.path()).starts_with("loms: "));

    fs::write(dir.path().join("ca.pem"), "nonsense").unwrap();
    assert!(reason_for_new_set(dir.path()).starts_with("ca.pem: "));

    assert_eq!(certs::ensure(dir.path()).unwrap(), CertificateSet::Kept);
}
