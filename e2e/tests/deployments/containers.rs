//! The containers of our images run as they are composed: with a Postgres and a broker of this machine behind the names
//! of theirs, stand-ins for Graylog and Jaeger behind theirs, and a shopper who buys something.

use std::{collections::BTreeSet, env, net::SocketAddr, path::Path};

use platform::{
    config::{FromText as _, ServiceUrl, service::ClientTlsConfig},
    grpc::client::Channel,
    tls::{ClientTls, install_crypto_provider},
};
use proto::{
    cart::{AddToCartRequest, PurchaseRequest, cart_client::CartClient, cart_server},
    loms::{OrderPayedRequest, loms_client::LomsClient, loms_server},
};
use stack::testing::eventually;
use stack::{
    broker::Broker, collector::Collector, fleet::Service, graylog::Graylog, ports, postgres::Postgres,
    telegram::Message,
};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use crate::{
    compose::{self, Compose, FILES},
    sandbox::{self, Container, Containers},
};

/// A SKU of which there is plenty.
const PLENTY: u32 = 1212;

/// Set where a test runs on a network of its own.
const ALONE: &str = "E2E_ON_A_NETWORK_OF_ITS_OWN";

/// What the containers need that is not of our images.
struct Around {
    postgres: Postgres,
    broker: Broker,
    jaeger: Collector,
    /// The input for each service's log.
    graylog: [(Service, Graylog); Service::ALL.len()],
    _logs: TempDir,
}

impl Around {
    /// Starts it all; answers the variables that tell of it, too.
    async fn start() -> (Self, Compose) {
        let logs = tempfile::tempdir().unwrap();
        let postgres = Postgres::throw_away().await.unwrap();
        let mut variables = compose::variables();
        for service in Service::ALL.map(Service::name) {
            let url = postgres.database(service).await.unwrap();
            let password = url.split([':', '@']).nth(2).unwrap();
            variables.insert(format!("{}_POSTGRES_PASSWORD", service.to_uppercase()), password.to_owned());
        }
        let broker = Broker::start(ports::free().unwrap(), &logs.path().join("broker.log")).await.unwrap();
        let jaeger = Collector::start(ports::loopback(0)).unwrap();
        let graylog = Service::ALL.map(|service| (service, Graylog::start(ports::loopback(0)).unwrap()));
        (Self { postgres, broker, jaeger, graylog, _logs: logs }, Compose::read_with(FILES[0], &variables))
    }

    /// Answers in the places of the containers that are there and not ours.
    async fn stand_in(&self, containers: &Containers) {
        for name in containers.compose.services.keys() {
            let at = |port: u16| SocketAddr::from((containers.address(name), port));
            if name.starts_with("postgres-") {
                forward(at(5432), ports::loopback(self.postgres.port())).await;
            } else if name.starts_with("kafka-") && name != "kafka-ui" {
                forward(at(9092), self.broker.address()).await;
            } else if name == "jaeger" {
                forward(at(4317), self.jaeger.address()).await;
            } else if name == "graylog" {
                for (service, input) in &self.graylog {
                    forward(at(service.facts().graylog_port), input.address()).await;
                }
            }
        }
    }
}

/// Passes on what arrives at one address to another, until the runtime ends.
async fn forward(from: SocketAddr, to: SocketAddr) {
    let listener = TcpListener::bind(from).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = listener.accept().await {
            tokio::spawn(async move {
                // Either end may go at any time.
                if let Ok(mut called) = TcpStream::connect(to).await {
                    let _ = tokio::io::copy_bidirectional(&mut caller, &mut called).await;
                }
            });
        }
    });
}

/// A client's connection to where a service is published.
fn channel(certs: &Path, port: u16, identity: Option<&str>, service: &str) -> Channel {
    let identity = identity.map(|name| (certs.join(format!("{name}.pem")), certs.join(format!("{name}.key"))));
    let tls = ClientTls::load(&ClientTlsConfig { ca: certs.join("ca.pem"), identity }).unwrap();
    let url = ServiceUrl::from_text(&format!("https://localhost:{port}")).unwrap();
    Channel::new(&url, &tls, service, proto::DESCRIPTORS).unwrap()
}

/// Buys something and pays for it.
async fn shop(certs: &Path) {
    let mut cart = CartClient::new(channel(certs, 50051, None, cart_server::SERVICE_NAME));
    cart.add_to_cart(AddToCartRequest { user: 7, sku: PLENTY, count: 2 }).await.unwrap();
    let bought = cart.purchase(PurchaseRequest { user: 7, idempotency_key: "once".into() }).await.unwrap();
    let order_id = bought.into_inner().order_id;
    let mut loms = LomsClient::new(channel(certs, 50052, Some("client"), loms_server::SERVICE_NAME));
    loms.order_payed(OrderPayedRequest { order_id }).await.unwrap();
}

/// Runs what ends, and starts what stays, in an order in which each finds what it waits for.
async fn start(containers: &Containers) -> Vec<(String, Container)> {
    let mut left: BTreeSet<_> = containers.compose.services.keys().cloned().collect();
    let mut running = Vec::new();
    while !left.is_empty() {
        let waits =
            |name: &String| containers.compose.services[name].depends_on().keys().any(|other| left.contains(other));
        let name = left.iter().find(|name| !waits(name)).unwrap().clone();
        left.remove(&name);
        let service = &containers.compose.services[&name];
        if service.target().is_none() {
            continue;
        }
        if service.runs_once() {
            // Twice: a start of the fleet runs them again, and they must leave alone what they did before.
            for _ in 0..2 {
                let output = containers.run(&name, &containers.command(&name)).await;
                assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            }
        } else {
            running.push((name.clone(), containers.start(&name).await));
        }
    }
    running
}

/// Waits until Telegram was told of everything that became of an order.
async fn told() {
    eventually("Telegram has three messages", async || {
        let messages: Vec<Message> = reqwest::get("http://127.0.0.1:8091/messages").await.ok()?.json().await.ok()?;
        (messages.len() == 3).then_some(())
    })
    .await;
}

/// Stops everything, and sees it go in good order.
async fn stop(containers: &Containers, running: Vec<(String, Container)>, around: Around) {
    for (name, container) in running.into_iter().rev() {
        let log = container.log();
        let ended = container.stop(sandbox::grace(&containers.compose.services[&name])).await;
        assert!(ended.is_some_and(|status| status.success()), "{name} ended {ended:?}:\n{log}");
        let check = containers.run(&name, &containers.health(&name)).await;
        let complaint = String::from_utf8(check.stderr).unwrap();
        assert!(!check.status.success() && complaint.lines().count() == 1, "{name}, gone, is healthy: {complaint}");
    }
    around.broker.stop().await;
    around.postgres.stop().await;
}

/// Runs a test of this file on a network of its own.
fn alone<F: Future<Output = ()>>(test: &str, story: impl FnOnce() -> F) {
    if env::var_os(ALONE).is_none() {
        return sandbox::on_a_network_of_its_own(&format!("containers::{test}"), ALONE);
    }
    install_crypto_provider();
    tokio::runtime::Runtime::new().unwrap().block_on(story());
}

#[test]
fn our_containers_run_as_composed_and_a_purchase_is_told_traced_logged_and_measured() {
    alone("our_containers_run_as_composed_and_a_purchase_is_told_traced_logged_and_measured", async || {
        let (around, compose) = Around::start().await;
        let mut containers = Containers::new(compose);
        // Graylog is in the other file, and in a network with the services all the same.
        let graylog = Compose::read(FILES[1]).services.remove("graylog").unwrap();
        containers.compose.services.insert("graylog".into(), graylog);
        around.stand_in(&containers).await;
        let running = start(&containers).await;
        shop(&containers.volume("certs")).await;
        told().await;

        eventually("every service is in a trace and in Graylog", async || {
            let spans = around.jaeger.spans();
            let is_traced = |name: &str| spans.iter().any(|span| span.service() == name);
            let is_complete = around.graylog.iter().all(|(service, input)| {
                let (name, messages) = (service.name(), input.messages());
                is_traced(name) && !messages.is_empty() && messages.iter().all(|message| message["_service"] == name)
            });
            is_complete.then_some(())
        })
        .await;
        for service in Service::ALL {
            let (name, port) = (service.name(), service.facts().ports.admin);
            let url = format!("http://{}:{port}/metrics", containers.address(name));
            let text = reqwest::get(url).await.unwrap().text().await.unwrap();
            assert!(text.contains("build_info{"), "{name} shows no metrics");
        }
        stop(&containers, running, around).await;
    });
}

#[test]
fn the_fleet_sells_without_graylog_and_jaeger() {
    alone("the_fleet_sells_without_graylog_and_jaeger", async || {
        let (around, compose) = Around::start().await;
        let mut containers = Containers::new(compose);
        // Nobody has their names.
        containers.compose.services.remove("jaeger");
        containers.compose.services.get_mut("grafana").unwrap().yaml["depends_on"] = serde_yaml::Value::Null;
        around.stand_in(&containers).await;
        let running = start(&containers).await;
        shop(&containers.volume("certs")).await;
        told().await;
        stop(&containers, running, around).await;
    });
}
