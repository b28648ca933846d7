//! Runs the containers of our images as they are composed, while a shopper buys something. Other containers are
//! replaced: their addresses lead to a Postgres, to a broker, and to stand-ins for Graylog and Jaeger.

use std::{collections::BTreeSet, env, net::SocketAddr, path::Path};

use e2e::channel;
use platform::tls::install_crypto_provider;
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

/// A SKU with more units than the test needs.
const PLENTY: u32 = 1212;

/// This variable is set if a test already runs on a network of its own.
const ISOLATED: &str = "E2E_ON_A_NETWORK_OF_ITS_OWN";

/// What takes the place of the containers that are not ours.
struct Replacements {
    postgres: Postgres,
    broker: Broker,
    jaeger: Collector,
    /// The input for each service's log.
    graylog: [(Service, Graylog); Service::ALL.len()],
    _logs: TempDir,
}

impl Replacements {
    /// Also returns the compose file, with the passwords of this Postgres.
    async fn start() -> (Self, Compose) {
        let logs = tempfile::tempdir().unwrap();
        let postgres = Postgres::throw_away().await.unwrap();
        let mut variables = compose::variables();
        for service in Service::ALL.map(Service::name) {
            let url = postgres.database(service).await.unwrap();
            let password = url.split([':', '@']).nth(2).unwrap();
            variables.insert(format!("{}_POSTGRES_PASSWORD", service.to_uppercase()), password.to_owned());
        }
        let broker =
            Broker::start(ports::free().unwrap(), &logs.path().join("broker"), &logs.path().join("broker.log"))
                .await
                .unwrap();
        let jaeger = Collector::start(ports::loopback(0)).unwrap();
        let graylog = Service::ALL.map(|service| (service, Graylog::start(ports::loopback(0)).unwrap()));
        (Self { postgres, broker, jaeger, graylog, _logs: logs }, Compose::read_with(FILES[0], &variables))
    }

    /// Listens on the addresses of the containers that are not ours.
    async fn listen(&self, containers: &Containers) {
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

/// Forwards connections from one address to another, until the runtime ends.
async fn forward(from: SocketAddr, to: SocketAddr) {
    let listener = TcpListener::bind(from).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = listener.accept().await {
            tokio::spawn(async move {
                // Either end may close the connection at any time.
                if let Ok(mut called) = TcpStream::connect(to).await {
                    let _ = tokio::io::copy_bidirectional(&mut caller, &mut called).await;
                }
            });
        }
    });
}

/// Buys something and pays for it.
async fn shop(certs: &Path) {
    let mut cart = CartClient::new(channel(certs, 50051, None, cart_server::SERVICE_NAME).unwrap());
    cart.add_to_cart(AddToCartRequest { user: 7, sku: PLENTY, count: 2 }).await.unwrap();
    let bought = cart.purchase(PurchaseRequest { user: 7, idempotency_key: "once".into() }).await.unwrap();
    let order_id = bought.into_inner().order_id;
    let mut loms = LomsClient::new(channel(certs, 50052, Some("client"), loms_server::SERVICE_NAME).unwrap());
    loms.order_payed(OrderPayedRequest { order_id }).await.unwrap();
}

/// Starts the containers, or runs them to their end, each after those that it waits for.
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
            // Each start of the fleet runs them, so a second run must change nothing.
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

/// Waits until Telegram has all messages about a paid order.
async fn wait_for_messages() {
    eventually("Telegram has three messages", async || {
        let messages: Vec<Message> = reqwest::get("http://127.0.0.1:8091/messages").await.ok()?.json().await.ok()?;
        (messages.iter().flat_map(Message::texts).count() == 3).then_some(())
    })
    .await;
}

/// Stops everything, and checks that each container ends without an error.
async fn stop(containers: &Containers, running: Vec<(String, Container)>, replacements: Replacements) {
    for (name, container) in running.into_iter().rev() {
        let log = container.log();
        let ended = container.stop(containers.compose.services[&name].stop_grace_period()).await;
        assert!(ended.is_some_and(|status| status.success()), "{name} ended {ended:?}:\n{log}");
        let check = containers.run(&name, &containers.health(&name)).await;
        let complaint = String::from_utf8(check.stderr).unwrap();
        assert!(!check.status.success() && complaint.lines().count() == 1, "{name}, gone, is healthy: {complaint}");
    }
    replacements.broker.stop().await;
    replacements.postgres.stop().await;
}

/// Runs a test on a network of its own, because the containers have fixed ports.
fn isolated<F: Future<Output = ()>>(test: &str, story: impl FnOnce() -> F) {
    if env::var_os(ISOLATED).is_none() {
        return sandbox::on_a_network_of_its_own(&format!("containers::{test}"), ISOLATED);
    }
    install_crypto_provider();
    tokio::runtime::Runtime::new().unwrap().block_on(story());
}

#[test]
fn our_containers_run_as_composed_and_a_purchase_is_told_traced_logged_and_measured() {
    isolated("our_containers_run_as_composed_and_a_purchase_is_told_traced_logged_and_measured", async || {
        let (replacements, compose) = Replacements::start().await;
        let mut containers = Containers::new(compose);
        // Graylog is in the other compose file, and shares a network with the services.
        let graylog = Compose::read(FILES[1]).services.remove("graylog").unwrap();
        containers.compose.services.insert("graylog".into(), graylog);
        replacements.listen(&containers).await;
        let running = start(&containers).await;
        shop(&containers.volume("certs")).await;
        wait_for_messages().await;

        eventually("every service is in a trace and in Graylog", async || {
            let spans = replacements.jaeger.spans();
            let is_traced = |name: &str| spans.iter().any(|span| span.service() == name);
            let is_complete = replacements.graylog.iter().all(|(service, input)| {
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
        stop(&containers, running, replacements).await;
    });
}

#[test]
fn the_fleet_sells_without_graylog_and_jaeger() {
    isolated("the_fleet_sells_without_graylog_and_jaeger", async || {
        let (replacements, compose) = Replacements::start().await;
        let mut containers = Containers::new(compose);
        // The names of Graylog and Jaeger then lead nowhere.
        containers.compose.services.remove("jaeger");
        containers.compose.services.get_mut("grafana").unwrap().yaml["depends_on"] = serde_yaml::Value::Null;
        replacements.listen(&containers).await;
        let running = start(&containers).await;
        shop(&containers.volume("certs")).await;
        wait_for_messages().await;
        stop(&containers, running, replacements).await;
    });
}
