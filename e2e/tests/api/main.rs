//! The services hold to their OpenAPI documents: Schemathesis makes calls that the documents allow, and calls that they
//! forbid, and checks each answer against them. `make test-api` gets it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{env, process::Command};

use e2e::{World, files::path};
use stack::fleet::Service;

/// The program.
const PROGRAM: &str = "SCHEMATHESIS";
/// For each service.
const SECONDS: &str = "30";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Schemathesis: make test-api"]
async fn every_answer_over_http_is_what_the_documents_say() {
    let program = env::var(PROGRAM).expect("the program");
    let world = World::start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let certs = &world.addresses.certs;
    let mut faults = Vec::new();
    for service in Service::ALL {
        let document = format!("{}/openapi.json", world.addresses.service(service).http_url());
        let mut command = Command::new(&program);
        command.arg("--config-file").arg(path("e2e/tests/api/schemathesis.toml")).args(["run", &document]);
        command.arg("--tls-verify").arg(certs.join("ca.pem"));
        command.arg("--request-cert").arg(certs.join("client.pem"));
        command.arg("--request-cert-key").arg(certs.join("client.key"));
        command.args(["--max-time", SECONDS, "--no-color"]).current_dir(directory.path());
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        stack::terminal::print(format_args!(
            "{}: {}",
            service.name(),
            told.lines().find(|line| line.contains(" generated")).unwrap_or_default().trim()
        ));
        if !output.status.success() {
            faults.push(format!("{}:\n{told}{}", service.name(), String::from_utf8_lossy(&output.stderr)));
        }
    }
    world.stop().await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
