//! The configuration file: the example, and every fault of a bad one at once.

use std::{path::Path, process::Output, time::Duration};

use loms::config::Config;
use platform::config::kafka::Mechanism;
use secrecy::ExposeSecret as _;
use tokio::process::Command;

/// Runs the program and waits for its end.
pub async fn run(arguments: &[&str], config: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loms"));
    command.args(arguments).kill_on_drop(true).env_remove("LOMS_CONFIG").env_remove("LOMS_POSTGRES_URL");
    if let Some(config) = config {
        command.env("LOMS_CONFIG", config);
    }
    command.output().await.unwrap()
}

#[test]
fn the_example_is_whole() {
    let example = include_str!("../../config.example.yaml");
    let url = "postgres://loms@localhost/loms";
    let variables = |name: &str| (name == "LOMS_POSTGRES_URL").then(|| url.to_owned());
    let config: Config = platform::config::parse("config.example.yaml", example, &variables).unwrap();
    assert_eq!(config.service.postgres.connection_string.expose_secret(), url);
    assert_eq!(config.service.grpc.listen.port(), 50052);
    assert_eq!(config.service.admin.listen.port(), 8181);
    let tls = config.service.grpc.tls.unwrap();
    assert_eq!(tls.certificate, Path::new("certs/loms.pem"));
    assert_eq!(tls.client_ca.unwrap(), Path::new("certs/ca.pem"));
    assert_eq!(config.kafka.brokers.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["localhost:9092"]);
    assert_eq!(config.orders.payment_timeout, Duration::from_secs(600));
    assert!(config.service.jaeger.is_none());

    let with_jaeger = example.replace("# jaeger:\n#   endpoint", "jaeger:\n  endpoint");
    let config: Config = platform::config::parse("config.example.yaml", &with_jaeger, &variables).unwrap();
    assert_eq!(config.service.jaeger.unwrap().endpoint.uri(), "http://localhost:4317/");

    let kafka = example.lines().skip_while(|line| *line != "# kafka:").take_while(|line| !line.is_empty());
    let kafka: Vec<_> = kafka.map(|line| line.strip_prefix("# ").unwrap()).collect();
    let secured = format!("{example}\n{}\n", kafka.join("\n"));
    let secrets = |name: &str| (name != "RUST_LOG").then(|| "postgres://x".into());
    let config: Config = platform::config::parse("config.example.yaml", &secured, &secrets).unwrap();
    assert_eq!(config.kafka.security.sasl.unwrap().mechanism, Mechanism::ScramSha512);
    assert!(config.kafka.security.tls.is_some() && config.kafka.properties.len() == 1);
}

#[tokio::test]
async fn a_file_for_kafka_that_cannot_be_read_is_told_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yaml");
    let text = "grpc: {listen: '127.0.0.1:0'}\nadmin: {listen: '127.0.0.1:0'}\n\
                postgres: {connection_string: postgres://x}\nbrokers: [a:1]\n\
                kafka: {security: {protocol: ssl, ca: nowhere.pem}}\n";
    std::fs::write(&file, text).unwrap();
    let output = run(&["serve"], Some(&file)).await;
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("kafka.security: nowhere.pem cannot be read"), "{told}");
}

#[tokio::test]
async fn properties_for_kafka_that_do_not_go_with_what_loms_promises_are_told_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yaml");
    for property in ["max.in.flight: 10", "retries: 0", "linger.ms: 6000"] {
        let text = format!(
            "grpc: {{listen: '127.0.0.1:0'}}\nadmin: {{listen: '127.0.0.1:0'}}\n\
             postgres: {{connection_string: postgres://x}}\nbrokers: [a:1]\nkafka: {{properties: {{{property}}}}}\n"
        );
        std::fs::write(&file, text).unwrap();
        let output = run(&["serve"], Some(&file)).await;
        assert_eq!(output.status.code(), Some(1), "{property}");
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(told.contains("kafka: ") && told.contains(property.split(':').next().unwrap()), "{told}");
    }
}

#[test]
fn the_example_shows_the_defaults() {
    let least = "grpc: {listen: '127.0.0.1:50052'}\nadmin: {listen: '127.0.0.1:8181'}\n\
                 postgres: {connection_string: postgres://x}\nbrokers: [a:1]\n";
    let least: Config = platform::config::parse("least.yaml", least, &|_| None).unwrap();
    let example = include_str!("../../config.example.yaml");
    let example: Config = platform::config::parse("config.example.yaml", example, &|name| {
        (name == "LOMS_POSTGRES_URL").then(|| "postgres://x".into())
    })
    .unwrap();
    assert_eq!(least.orders.payment_timeout, example.orders.payment_timeout);
    let (least, example) = (least.service, example.service);
    assert_eq!(least.grpc.max_concurrent_requests, example.grpc.max_concurrent_requests);
    assert_eq!(least.grpc.default_deadline, example.grpc.default_deadline);
    assert_eq!(least.grpc.max_deadline, example.grpc.max_deadline);
    assert_eq!(least.grpc.connections, example.grpc.connections);
    assert_eq!(least.postgres.max_connections, example.postgres.max_connections);
    assert_eq!(least.postgres.acquire_timeout, example.postgres.acquire_timeout);
    assert_eq!(least.log.level, example.log.level);
    assert_eq!(least.shutdown.grace_period, example.shutdown.grace_period);
}

#[tokio::test]
async fn every_fault_is_told_at_once_and_nothing_starts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yaml");
    let text = "grpc: {listen: nowhere, colour: red}\npostgres: {connection_string: '${LOMS_POSTGRES_URL}'}\n\
                brokers: []\norders: {payment_timeout: 999ms}\n\
                kafka: {security: {protocol: sasl_ssl, username: loms, password: hunter2}, properties: {no.such: 1}}\n";
    std::fs::write(&file, text).unwrap();
    for command in [&["check-config"][..], &["serve"], &[], &["migrate"], &["stock", "list"]] {
        let output = run(command, Some(&file)).await;
        assert_eq!(output.status.code(), Some(64), "{command:?}: {output:?}");
        let faults = String::from_utf8(output.stderr).unwrap();
        for fault in [
            "grpc.listen: must be",
            "grpc.colour: unknown key",
            "admin: is missing",
            "postgres.connection_string: the environment variable LOMS_POSTGRES_URL is not set",
            "brokers: must be a list with at least one value",
            "orders.payment_timeout: must be from 1s to 365d",
            "kafka.security.mechanism: is missing",
            "kafka.properties.no.such: is no property of librdkafka",
        ] {
            assert!(faults.contains(fault), "{fault:?} is not among\n{faults}");
        }
        assert_eq!(faults.lines().count(), 9, "the file, and a line for each fault:\n{faults}");
    }
}

#[tokio::test]
async fn a_variable_that_overrides_the_file_is_checked_like_the_file() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.yaml");
    for (level, code) in [("foo bar", 64), ("info,sqlx=loud", 64), ("sqlx", 64), ("info,sqlx=debug", 0), ("", 0)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loms"));
        command.arg("check-config").arg("--config").arg(&example);
        let output = command.env("LOMS_POSTGRES_URL", "postgres://x").env("RUST_LOG", level).output().await.unwrap();
        assert_eq!(output.status.code(), Some(code), "{level}: {output:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        let fault =
            "config.example.yaml:\n  log.level: the environment variable RUST_LOG, which overrides it, must be error";
        assert_eq!(told.contains(fault), code == 64, "{level}: {told}");
    }
}

#[tokio::test]
async fn a_command_line_that_makes_no_sense_is_refused_like_a_faulty_file() {
    assert_eq!(run(&["stok"], None).await.status.code(), Some(64));
    assert_eq!(run(&["stock", "import"], None).await.status.code(), Some(64));
    assert_eq!(run(&["--help"], None).await.status.code(), Some(0));
}
