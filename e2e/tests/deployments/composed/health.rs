//! Runs the health check of Kafka as its containers do.

use std::{net::TcpListener, process::Command};

use crate::compose::Compose;

/// The words of a health check. A script is for a shell.
fn check(container: &str) -> Vec<String> {
    let check = Compose::both().services[container].health().unwrap();
    match &check[..] {
        // Compose makes one `$` of two.
        [script] => vec!["sh".to_owned(), "-c".to_owned(), script.replace("$$", "$")],
        _ => check,
    }
}

#[test]
fn a_broker_is_asked_at_its_port_and_no_jvm_is_started_for_that() {
    let services = Compose::both().services;
    let brokers = services.iter().filter(|(_, service)| service.text("image").starts_with("apache/kafka:"));
    let brokers: Vec<_> = brokers.collect();
    assert_eq!(brokers.len(), 3);
    for (name, broker) in brokers {
        let listeners = &broker.environment()["KAFKA_LISTENERS"];
        assert!(listeners.starts_with("PLAINTEXT://:9092,"), "{name} listens on {listeners}");
        let check = check(name);
        let [shell, option, script] = &check[..] else { panic!("{check:?}") };
        assert_eq!([shell, option], ["bash", "-c"], "{name}");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let script = script.replace("9092", &listener.local_addr().unwrap().port().to_string());
        // Without any directory of programs, only the shell itself can answer.
        let ask = || Command::new("/bin/bash").args([option, &script]).env("PATH", "").output().unwrap();
        assert!(ask().status.success(), "{name}, there, is not healthy: {:?}", ask());
        drop(listener);
        assert!(!ask().status.success(), "{name}, gone, is healthy");
    }
}
