//! The installed Prometheus of this machine. It is installed first, if that is possible without asking the user.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use stack::{ports, prometheus::Prometheus};

#[tokio::test]
async fn it_answers_queries_and_says_what_is_wrong_with_one() {
    let directory = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start("scrape_configs: []", directory.path(), ports::free().unwrap()).await.unwrap();
    let answer = prometheus.query("vector(1 + 1)").await.unwrap();
    assert_eq!(answer[0]["value"][1], "2");
    let error = prometheus.query("sum(").await.unwrap_err().to_string();
    assert!(error.contains("parse error"), "{error}");
    prometheus.stop().await;
}

#[tokio::test]
async fn a_configuration_that_it_refuses_is_shown_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let port = ports::free().unwrap();
    let error = Prometheus::start("scrape_configs: 1", directory.path(), port).await.unwrap_err().to_string();
    assert!(error.contains("exited with code") && error.contains("cannot unmarshal"), "{error}");
}
