//! Runs the health checks of Kafka and Postgres as their containers do.

use std::{
    net::TcpListener,
    process::{Command, Output},
};

use stack::{packages, postgres::Postgres};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_is_healthy_if_it_has_the_database_of_its_service() {
    packages::program("psql", "postgresql-client", "install the clients of Postgres").unwrap();
    let postgres = Postgres::throw_away().await.unwrap();
    let url = postgres.database("loms").await.unwrap();
    let password = url.split([':', '@']).nth(2).unwrap();
    let ask = |container: &str, database: &str| -> Output {
        let check = check(container);
        let mut command = Command::new(&check[0]);
        // The server of a container asks nobody on its loopback interface for a password.
        command.args(&check[1..]).env("PGPORT", postgres.port().to_string()).env("PGPASSWORD", password);
        command.env("POSTGRES_USER", "loms").env("POSTGRES_DB", database).output().unwrap()
    };
    for container in ["postgres-checkout", "postgres-loms", "postgres-notifications"] {
        let healthy = ask(container, "loms");
        assert!(healthy.status.success(), "{}", String::from_utf8_lossy(&healthy.stderr));
        let without = ask(container, "absent");
        let complaint = String::from_utf8_lossy(&without.stderr);
        assert!(!without.status.success() && complaint.contains("database \"absent\" does not exist"), "{complaint}");
        let environment = Compose::both().services[container].environment();
        let service = container.strip_prefix("postgres-").unwrap();
        assert_eq!([&environment["POSTGRES_USER"], &environment["POSTGRES_DB"]], [service, service]);
    }
    postgres.stop().await;
}
