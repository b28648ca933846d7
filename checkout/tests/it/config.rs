//! The configuration file.

use checkout::config::Config;
use platform::config::parse;

const EXAMPLE: &str = include_str!("../../config.example.yaml");

fn variables(name: &str) -> Option<String> {
    (name == "CH_POSTGRES_URL").then(|| "postgres://shop@localhost/checkout".to_owned())
}

#[test]
fn the_example_is_complete_and_shows_the_defaults() {
    let config: Config = parse("config.example.yaml", EXAMPLE, &variables).unwrap();
    assert_eq!(config.service.grpc.listen.port(), 50051);
    assert_eq!(config.service.admin.listen.port(), 8190);
    assert!(config.service.grpc.tls.as_ref().is_some_and(|tls| tls.client_ca.is_none()));
    assert_eq!(config.services.loms.uri(), "https://localhost:50052/");
    assert_eq!(config.services.products.uri(), "https://localhost:50054/");

    // What a file leaves out is as the example has it.
    let least = "grpc: {listen: '127.0.0.1:50051', tls: {certificate: certs/checkout.pem, key: certs/checkout.key}}\n\
                 http: {listen: '127.0.0.1:8090'}\nadmin: {listen: '127.0.0.1:8190'}\n\
                 postgres: {connection_string: '${CH_POSTGRES_URL}'}\n\
                 token: testtoken\nservices: {loms: 'localhost:50052', products: 'localhost:50054'}\n\
                 client_tls: {ca: certs/ca.pem, certificate: certs/checkout.pem, key: certs/checkout.key}\n";
    let least: Config = parse("least.yaml", least, &variables).unwrap();
    assert_eq!(format!("{least:?}"), format!("{config:?}"));

    let with_jaeger = EXAMPLE.replace("# jaeger:\n#   endpoint", "jaeger:\n  endpoint");
    assert!(parse::<Config>("with jaeger", &with_jaeger, &variables).unwrap().service.jaeger.is_some());
}

#[test]
fn every_fault_is_reported_at_once() {
    let text = "grpc: {listen: here}\ntoken: ''\nservices: {loms: nowhere}\nclient_tls: {ca: ca.pem, key: k}\n\
                products: {rate_per_second: 0, max_concurrent: 70000, attempt_timeout: 0s, max_age: 0s}\n\
                purchase: {resume_after: 1m, resume_at_most: 1s, retries: 3}\n";
    let faults = parse::<Config>("checkout.yaml", text, &variables).unwrap_err().to_string();
    let keys: Vec<_> =
        faults.lines().skip(1).filter_map(|line| line.trim().split_once(':')).map(|(key, _)| key).collect();
    assert_eq!(
        keys,
        [
            "grpc.listen",
            "admin",
            "postgres",
            "token",
            "services.loms",
            "services.products",
            "client_tls.certificate",
            "products.rate_per_second",
            "products.max_concurrent",
            "products.attempt_timeout",
            "products.max_age",
            "purchase.resume_at_most",
            "purchase.retries",
        ],
        "{faults}"
    );
}

#[test]
fn a_price_that_is_new_cannot_be_too_old_to_show() {
    let text = EXAMPLE.replace("max_stale: 24h", "max_stale: 59s");
    let fault = parse::<Config>("checkout.yaml", &text, &variables).unwrap_err().to_string();
    assert!(fault.ends_with("products.max_stale: must not be shorter than max_age"), "{fault}");
}
