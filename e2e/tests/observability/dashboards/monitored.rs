//! A fleet with a collector and a Prometheus, which is configured as in a deployment, but asks more often.

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

/// Long enough for the orders that are paid.
const PAYMENT_TIMEOUT: Duration = Duration::from_secs(4);

/// Prometheus asks and evaluates rules often, so that the windows of queries fill fast.
const INTERVAL: &str = "500ms";

pub struct MonitoredWorld {
    pub fleet: World,
    pub prometheus: Prometheus,
    pub collector: Collector,
    _directory: TempDir,
}

impl MonitoredWorld {
    /// Waits until Prometheus has seen every service. A counter that moves earlier would not show as a change.
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
        let world = Self { fleet, prometheus, collector, _directory: directory };
        eventually("Prometheus has seen every service twice", || async {
            let seen = world.ask("count_over_time(grpc_server_started_total[1m]) >= 2").await;
            let is_seen = |service: Service| seen.iter().any(|series| series["metric"]["job"] == service.name());
            Service::ALL.into_iter().all(is_seen).then_some(())
        })
        .await;
        world
    }

    /// The series in the answer to a query, without those whose value is NaN.
    pub async fn ask(&self, query: &str) -> Vec<Value> {
        let series = self.prometheus.query(query).await.unwrap_or_else(|error| panic!("{query}: {error}"));
        series.into_iter().filter(|series| series["value"][1] != "NaN").collect()
    }

    pub async fn stop(self) {
        self.prometheus.stop().await;
        self.fleet.stop().await;
    }
}

/// The configuration of a deployment, with the addresses of this fleet.
fn config(addresses: &Addresses, prometheus: SocketAddr) -> Value {
    let mut config = files::prometheus();
    config["global"]["scrape_interval"] = json!(INTERVAL);
    config["global"]["scrape_timeout"] = json!(INTERVAL);
    config["global"]["evaluation_interval"] = json!(INTERVAL);
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
