//! A fleet that Prometheus asks as a deployment's does, only more often, and a collector that receives its spans.

use std::{fs, net::SocketAddr, time::Duration};

use e2e::World;
use serde_json::{Value, json};
use stack::testing::eventually;
use stack::{
    collector::Collector,
    fleet::{Addresses, Service, Settings},
    ports,
    prometheus::Prometheus,
};
use tempfile::TempDir;

use super::files;

/// How long an order waits for its payment: longer than whoever means to pay needs.
const PAYMENT_TIMEOUT: Duration = Duration::from_secs(4);

/// How often Prometheus asks and judges, so that windows fill fast.
const SCRAPE: &str = "500ms";

/// The fleet and who watches it.
pub struct Watched {
    /// The fleet.
    pub fleet: World,
    /// Has its metrics, and what the rules make of them.
    pub prometheus: Prometheus,
    /// Has its spans.
    pub collector: Collector,
    _directory: TempDir,
}

impl Watched {
    /// Starts all, and waits until Prometheus has seen every service before anything happens in it.
    pub async fn start() -> Self {
        let collector = Collector::start(ports::loopback(0)).unwrap();
        let otlp = Some(collector.url());
        let change = |settings| Settings { otlp, payment_timeout: PAYMENT_TIMEOUT, ..settings };
        let fleet = World::start_with(change).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let port = ports::free().unwrap();
        let config = config(&fleet.addresses, ports::loopback(port));
        let rules = directory.path().join("rules");
        fs::create_dir(&rules).unwrap();
        for (name, mut file) in files::rules() {
            for group in file["groups"].as_array_mut().unwrap() {
                group.as_object_mut().unwrap().remove("interval");
            }
            fs::write(rules.join(name), file.to_string()).unwrap();
        }
        let prometheus = Prometheus::start(&config.to_string(), directory.path(), port).await.unwrap();
        let watched = Self { fleet, prometheus, collector, _directory: directory };
        eventually("Prometheus has seen every service twice", || async {
            let seen = watched.ask("count_over_time(grpc_server_started_total[1m]) >= 2").await;
            let is_seen = |service: Service| seen.iter().any(|series| series["metric"]["job"] == service.name());
            Service::ALL.into_iter().all(is_seen).then_some(())
        })
        .await;
        watched
    }

    /// The series that a query answers with, those without a number left out.
    pub async fn ask(&self, query: &str) -> Vec<Value> {
        let series = self.prometheus.query(query).await.unwrap_or_else(|error| panic!("{query}: {error}"));
        series.into_iter().filter(|series| series["value"][1] != "NaN").collect()
    }

    /// Stops all in good order.
    pub async fn stop(self) {
        self.prometheus.stop().await;
        self.fleet.stop().await;
    }
}

/// A deployment's configuration with the addresses of this fleet.
fn config(addresses: &Addresses, prometheus: SocketAddr) -> Value {
    let mut config = files::prometheus();
    config["global"]["scrape_interval"] = json!(SCRAPE);
    config["global"]["scrape_timeout"] = json!(SCRAPE);
    config["global"]["evaluation_interval"] = json!(SCRAPE);
    for job in config["scrape_configs"].as_array_mut().unwrap() {
        let name = job["job_name"].as_str().unwrap();
        let service = Service::ALL.into_iter().find(|service| service.name() == name);
        let target = match service {
            Some(service) => addresses.service(service).admin,
            None if name == "prometheus" => prometheus,
            None => panic!("nobody here is {name}"),
        };
        job["static_configs"] = json!([{ "targets": [target] }]);
    }
    config
}
