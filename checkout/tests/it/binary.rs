//! The real binary, started and stopped as an operator does.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, ExitStatus},
    time::Duration,
};

use futures::future::join_all;
use rustix::process::Signal;
use stack::testing::{TestDatabase, eventually};
use stack::{ports, process::Process};
use tonic::Code;

use crate::{
    loms_stand_in::Fault,
    world::{Client, World},
};

/// A process of the binary.
pub struct Binary {
    pub process: Process,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub log: PathBuf,
    pub ca: String,
}

pub fn command(arguments: &[&str], config: &PathBuf) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_checkout"));
    command.args(arguments).arg("--config").arg(config).env_remove("RUST_LOG");
    command
}

impl Binary {
    /// Starts it with the world's configuration, in which `change` replaces text, and waits until it is ready.
    pub async fn start(world: &World, change: (&str, &str)) -> Self {
        Self::start_as(world, change, |config| command(&[], config)).await
    }

    pub async fn start_as(world: &World, change: (&str, &str), command: impl FnOnce(&PathBuf) -> Command) -> Self {
        let [address, admin] = [(); 2].map(|()| ports::loopback(ports::free().unwrap()));
        let listen = "listen: '127.0.0.1:0'";
        let text = world.config_text().replace(change.0, change.1);
        let text = text.replacen(listen, &format!("listen: '{address}'"), 1);
        let text = text.replacen(listen, &format!("listen: '{admin}'"), 1);
        let (config, log) = (world.cert("checkout.yaml"), world.cert("checkout.log"));
        fs::write(&config, text).unwrap();
        let process = Process::spawn("checkout", command(&config), &log).unwrap();
        let binary = Self { process, address, admin, log, ca: fs::read_to_string(world.cert("ca.pem")).unwrap() };
        eventually("the service is ready", || async { (binary.readiness().await == 200).then_some(()) }).await;
        binary
    }

    pub fn client(&self) -> Client {
        Client::new(self.address, &self.ca, Duration::from_secs(10))
    }

    /// The lines of its log that say this.
    pub fn logged(&self, message: &str) -> Vec<serde_json::Value> {
        let log = fs::read_to_string(&self.log).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.filter(|line| line["message"] == message).collect()
    }

    /// Waits until `/metrics` has a sample.
    pub async fn until_shows(&self, sample: &str) {
        eventually(&format!("the metrics show {sample}"), || async {
            let metrics = reqwest::get(format!("http://{}/metrics", self.admin)).await.ok()?.text().await.ok()?;
            metrics.lines().any(|line| line == sample).then_some(())
        })
        .await;
    }

    /// The status of `/readyz`; 0 when nobody answers.
    async fn readiness(&self) -> u16 {
        match reqwest::get(format!("http://{}/readyz", self.admin)).await {
            Ok(response) => response.status().as_u16(),
            Err(_) => 0,
        }
    }

    pub async fn ended(&mut self) -> ExitStatus {
        let process = std::sync::Mutex::new(&mut self.process);
        eventually("the process ends", || async { process.lock().unwrap().exited() }).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sigterm_under_load_drops_no_accepted_call() {
    const USERS: i64 = 8;
    let world = World::new().await;
    let mut binary = Binary::start(&world, ("", "")).await;
    // Every caller, on a connection of its own, adds units until it is refused.
    let callers = (1..=USERS).map(|user| {
        let client = binary.client();
        tokio::spawn(async move {
            for answered in 0.. {
                if let Err(status) = client.add(user, 1001, 1).await {
                    return (answered, status);
                }
            }
            unreachable!("the service stops before that")
        })
    });
    let callers: Vec<_> = callers.collect();
    eventually("all callers are busy", || async {
        let busy: i64 = sqlx::query_scalar("SELECT count(*) FROM cart_item WHERE count >= 20")
            .fetch_one(&world.database.pool)
            .await
            .unwrap();
        (busy == USERS).then_some(())
    })
    .await;
    binary.process.signal(Signal::TERM);

    for (user, outcome) in (1..).zip(join_all(callers).await) {
        let (answered, status) = outcome.unwrap();
        // Nobody listens any more, or the connection closed before the call left.
        assert!([Code::Unavailable, Code::Cancelled].contains(&status.code()), "{status:?}");
        assert_eq!(world.cart(user).await, [(1001, answered)].into(), "what was done was answered: {status:?}");
    }
    assert_eq!(binary.ended().await.code(), Some(0), "{}", stack::process::tail(&binary.log, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_leave_files_to_operators_and_places_to_callers() {
    let world = World::new().await;
    let few_files = |config: &PathBuf| {
        let mut shell = Command::new("sh");
        let command = command(&[], config);
        shell.args(["-c", r#"ulimit -n 256 && exec "$0" "$@""#]).arg(command.get_program()).args(command.get_args());
        shell.env_remove("RUST_LOG");
        shell
    };
    let binary = Binary::start_as(&world, ("", ""), few_files).await;
    let mut silent = Vec::new();
    for _ in 0..600 {
        silent.push(tokio::net::TcpStream::connect(binary.address).await.unwrap());
    }
    let client = binary.client();
    client.add(7, 1001, 1).await.unwrap();
    assert_eq!(binary.readiness().await, 200);
    // 256 files are 32 connections for each of two ports.
    binary.until_shows("server_connections{port=\"grpc\"} 32").await;
    let told = binary.logged("connection refused");
    assert_eq!(told.iter().filter(|line| line["reason"] == "limit").count(), 1, "{told:?}");
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sigterm_lets_running_calls_finish_while_nobody_is_sent_to_the_service_any_more() {
    let world = World::new().await;
    let mut binary = Binary::start(&world, ("", "")).await;
    let client = binary.client();
    client.add(1, 1001, 2).await.unwrap();
    world.loms.then(Fault::WaitAtGate);
    let purchase = tokio::spawn(async move { client.purchase(1, "").await });
    world.loms.called(2).await;
    binary.process.signal(Signal::TERM);
    eventually("it is not ready", || async { (binary.readiness().await == 503).then_some(()) }).await;
    let late = binary.client().list(1).await.unwrap_err();
    assert_eq!(late.code(), Code::Unavailable, "{late:?}");
    world.loms.open_gate();
    assert_eq!(purchase.await.unwrap().unwrap(), world.loms.orders()[0].id);
    assert_eq!(world.purchases(1).await, ["ordered"]);
    assert_eq!(binary.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cause_of_an_internal_error_is_in_the_log_under_its_trace_id_without_the_token() {
    let world = World::new().await;
    let binary = Binary::start(&world, ("token: testtoken", "token: s3cret")).await;
    let client = binary.client();
    client.add(1, 1001, 1).await.unwrap();
    let status = client.list(1).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    let trace = status.metadata().get("x-trace-id").unwrap().to_str().unwrap().to_owned();
    let line = eventually("the failure is logged", || async {
        let log = fs::read_to_string(&binary.log).unwrap();
        assert!(!log.contains("s3cret"), "{log}");
        let mut lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.find(|line| line["trace_id"] == trace.as_str() && line["level"] == "warn")
    })
    .await;
    assert_eq!(line["rpc.method"], "cart.Cart/ListCart");
    assert!(line["error"].as_str().unwrap().contains("refuses the token"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_is_there_from_the_start_and_moves() {
    let world = World::new().await;
    let binary = Binary::start(&world, ("", "")).await;
    let metrics = || async {
        let response = reqwest::get(format!("http://{}/metrics", binary.admin)).await.unwrap();
        response.text().await.unwrap()
    };
    let series = [
        "checkout_cart_changes_total{change=\"add\"}",
        "checkout_cart_changes_total{change=\"delete\"}",
        "checkout_purchases_total{outcome=\"ordered\"}",
        "checkout_purchases_total{outcome=\"refused\"}",
        "checkout_purchases_total{outcome=\"abandoned\"}",
        "checkout_purchases_total{outcome=\"in_doubt\"}",
        "checkout_purchases_pending",
        "checkout_purchases_oldest_pending_seconds",
        "checkout_product_lookups_total{source=\"hit\"}",
        "checkout_product_lookups_total{source=\"miss\"}",
        "checkout_product_lookups_total{source=\"joined\"}",
        "checkout_product_limit_wait_seconds_count",
        "postgres_transactions_total{outcome=\"committed\",transaction=\"change_carts\"}",
        "postgres_transactions_total{outcome=\"released\",transaction=\"change_carts\"}",
        "postgres_transaction_retries_total{transaction=\"change_carts\"}",
    ];
    let at_start = metrics().await;
    for series in series {
        assert!(at_start.contains(&format!("\n{series} 0\n")), "{series}: {at_start}");
    }

    let client = binary.client();
    client.add(1, 1001, 2).await.unwrap();
    client.delete(1, 1001, 1).await.unwrap();
    for _ in 0..2 {
        client.list(1).await.unwrap();
    }
    world.loms.then(Fault::Fail(Code::Unavailable));
    client.purchase(1, "").await.unwrap_err();
    eventually("the purchase is seen pending", || async {
        metrics().await.contains("\ncheckout_purchases_pending 1\n").then_some(())
    })
    .await;
    eventually("its age is seen", || async {
        let metrics = metrics().await;
        let age = metrics.lines().find_map(|line| line.strip_prefix("checkout_purchases_oldest_pending_seconds "));
        (age.unwrap() != "0").then_some(())
    })
    .await;
    client.purchase(1, "").await.unwrap();
    let moved = metrics().await;
    // Added, deleted, begun and settled; one call began the purchase, the other found it and had nothing to commit.
    for (index, count) in [(0, 1), (1, 1), (2, 1), (5, 1), (8, 1), (9, 1), (11, 1), (12, 4), (13, 1)] {
        let series = series[index];
        assert!(moved.contains(&format!("\n{series} {count}\n")), "{series}: {moved}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_lacks_migrations_is_not_served_until_they_are_applied() {
    let mut world = World::new().await;
    world.database = TestDatabase::create_empty().await;
    let config = world.cert("checkout.yaml");
    fs::write(&config, world.config_text()).unwrap();
    let run = |arguments: &[&str]| {
        let output = command(arguments, &config).output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), text)
    };
    let (code, text) = run(&["serve"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("20261122000002_purchase_trace, 20261130000001_product; run `checkout migrate`"), "{text}");
    let applied = ["20261122000001", "20261122000002", "20261130000001"];
    let applied: String = applied.iter().map(|version| format!("checkout: applied {version}\n")).collect();
    assert_eq!(run(&["migrate"]), (Some(0), applied));
    assert_eq!(run(&["migrate"]), (Some(0), "checkout: the database is up to date\n".to_owned()));
    assert_eq!(run(&["check-config"]).0, Some(0));
    let binary = Binary::start(&world, ("", "")).await;
    binary.client().list(1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_configuration_ends_it_with_64_before_anything_starts() {
    let world = World::new().await;
    let config = world.cert("checkout.yaml");
    fs::write(&config, world.config_text().replace("token:", "tokken:")).unwrap();
    for arguments in [["serve"], ["check-config"], ["migrate"]] {
        let output = command(&arguments, &config).output().unwrap();
        assert_eq!(output.status.code(), Some(64));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("\n  token: is missing\n  tokken: unknown key"), "{text}");
    }
}
