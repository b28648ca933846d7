//! Runs the story that all tests here look at: shoppers, secrets in configurations, and many failures.

use std::fs;

use e2e::World;
use proto::{
    cart::{AddToCartRequest, ListCartRequest, PurchaseRequest},
    loms::{CancelOrderRequest, OrderPayedRequest},
    notifications::GetHistoryWithPeriodRequest,
};
use rdkafka::{
    config::ClientConfig,
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};
use serde_json::Value as Json;
use serde_yaml::Value;
use stack::testing::eventually;
use stack::{
    collector::Collector,
    fleet::{self, Settings},
    graylog::Graylog,
    ports::{free, loopback},
    product_service,
    telegram::{Fault, Telegram},
};
use tonic::Code;

use crate::service::{Service, configure, run, write};

/// A SKU with more units than the tests need, and one with ten units.
const PLENTY: u32 = 1212;
const TEN_LEFT: u32 = 1412;

/// The secrets that the story puts into configurations.
const TELEGRAM_KEY: &str = "123456:planted-telegram-key";
const WRONG_PASSWORD: &str = "planted-wrong-password";
const WRONG_TOKEN: &str = "planted-wrong-token";
const IN_URL: &str = "planted-in-a-url";
const MISPLACED: &str = "planted-where-it-does-not-belong";
const IN_KEY_FILE: &str = "cGxhbnRlZC1pbi1hLWtleS1maWxl";

/// The output of all processes, each with the name of its process.
pub struct Story {
    /// The services' standard output and standard error.
    pub logs: Vec<(String, String)>,
    /// The output of commands that end by themselves.
    pub commands: Vec<(String, String)>,
    /// The last metrics of each service.
    pub metrics: Vec<(String, String)>,
    /// The messages that Graylog received.
    pub graylog: Vec<Json>,
    /// What Graylog received and could not read.
    pub malformed: Vec<String>,
    pub spans: String,
    /// Names and texts.
    pub secrets: Vec<(String, String)>,
}

impl Story {
    pub async fn tell() -> Self {
        let collector = Collector::start(loopback(0)).unwrap();
        let otlp = Some(collector.url());
        let world = World::start_with(|settings| Settings { otlp, ..settings }).await.expect("the fleet starts");
        let graylog = Graylog::start(loopback(0)).unwrap();
        let telegram = Telegram::start(loopback(0), None).unwrap();
        let to_graylog = |config: &mut Value| config["graylog"]["address"] = graylog.address().to_string().into();

        let loms = Service::start(&world, fleet::Service::Loms, "loms-planted", to_graylog).wait_until_ready().await;
        let notifications = Service::start(&world, fleet::Service::Notifications, "notifications-planted", |config| {
            to_graylog(config);
            config["telegram"]["api_url"] = telegram.url().into();
            config["telegram"]["api_key"] = TELEGRAM_KEY.into();
        });
        let notifications = notifications.wait_until_ready().await;
        let checkout_of = |name: &str, token: &str, loms: u16| {
            let (token, loms) = (token.to_owned(), format!("https://localhost:{loms}"));
            Service::start(&world, fleet::Service::Checkout, name, |config| {
                to_graylog(config);
                config["token"] = token.into();
                // Each asks ProductService itself, whatever another was told a moment ago.
                config["products"] = serde_yaml::from_str("{max_age: 1ms, max_stale: 1ms}").unwrap();
                config["services"]["loms"] = loms.into();
            })
        };
        let checkout = checkout_of("checkout-planted", product_service::TOKEN, loms.port).wait_until_ready().await;
        let mistrusted = checkout_of("checkout-mistrusted", WRONG_TOKEN, loms.port).wait_until_ready().await;
        let lonely = checkout_of("checkout-lonely", product_service::TOKEN, free().unwrap()).wait_until_ready().await;

        buy_and_fail(&world, &checkout, &mistrusted, &lonely, &loms).await;
        tell_shoppers(&world, &checkout, &notifications, telegram).await;
        let locked_out = lock_out(&world).await;
        let commands = misconfigure(&world);

        let mut story = Self {
            logs: Vec::new(),
            commands,
            metrics: Vec::new(),
            graylog: Vec::new(),
            malformed: Vec::new(),
            spans: String::new(),
            secrets: secrets(&world),
        };
        for (name, service) in [
            ("checkout", checkout),
            ("checkout, mistrusted", mistrusted),
            ("checkout, lonely", lonely),
            ("loms", loms),
            ("notifications", notifications),
            ("checkout, locked out", locked_out),
        ] {
            let (log, metrics) = service.stop().await;
            story.logs.push((name.to_owned(), log));
            story.metrics.push((name.to_owned(), metrics));
        }
        world.stop().await;
        (story.graylog, story.malformed) = (graylog.messages(), graylog.malformed());
        story.spans = format!("{:#?}", collector.spans());
        story
    }
}

/// Makes purchases that succeed, that are refused, and that fail because of each dependency.
async fn buy_and_fail(world: &World, checkout: &Service, mistrusted: &Service, lonely: &Service, loms: &Service) {
    let [user, other] = [world.shopper(), world.shopper()];
    let add = |user, sku, count| AddToCartRequest { user, sku, count };
    let purchase = |user| PurchaseRequest { user, idempotency_key: String::new() };
    let mut client = world.checkout_at(checkout.port).unwrap();
    client.add_to_cart(add(user, PLENTY, 1)).await.unwrap();
    client.add_to_cart(add(other, PLENTY, 1)).await.unwrap();
    let refused = client.add_to_cart(add(other, TEN_LEFT, 11)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(client.list_cart(ListCartRequest { user }).await.unwrap().into_inner().items.len(), 1);
    let order_id = client.purchase(purchase(user)).await.unwrap().into_inner().order_id;

    let mut mistrusted = world.checkout_at(mistrusted.port).unwrap();
    let refused = mistrusted.list_cart(ListCartRequest { user: other }).await.unwrap_err();
    assert_eq!(refused.code(), Code::Internal);
    let lonely = world.checkout_at(lonely.port).unwrap().purchase(purchase(other)).await.unwrap_err();
    assert_eq!(lonely.code(), Code::Unavailable);

    let mut loms = world.loms_at(loms.port).unwrap();
    loms.order_payed(OrderPayedRequest { order_id }).await.unwrap();
    let refused = loms.cancel_order(CancelOrderRequest { order_id }).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(loms.cancel_order(CancelOrderRequest { order_id: i64::MAX }).await.unwrap_err().code(), Code::NotFound);
}

/// Makes Telegram accept, refuse, delay and redirect messages, and be away. Also sends events that nobody can read.
async fn tell_shoppers(world: &World, checkout: &Service, notifications: &Service, telegram: Telegram) {
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", &world.addresses.kafka).create().unwrap();
    for status in [500, 400, 301] {
        telegram.misbehave(Fault { status: Some(status), ..Fault::default() });
    }
    telegram.misbehave(Fault { status: Some(429), retry_after: Some(1), ..Fault::default() });
    // The fleet's own notifications takes some of the events and messages, so buy until this one has got its part.
    let count = |name: &'static str| notifications.metric(name);
    let buy_until_counted = async |names: &[&'static str]| {
        eventually(&format!("it counts {names:?}"), || async {
            buy(world, checkout).await;
            let record = FutureRecord::<str, str>::to("orders").payload("planted poison");
            producer.send(record, Timeout::Never).await.unwrap();
            for name in names {
                if count(name).await == 0.0 {
                    return None;
                }
            }
            Some(())
        })
        .await;
    };
    buy_until_counted(&[
        r#"notifications_deliveries_total{result="sent"}"#,
        r#"notifications_deliveries_total{result="rate_limited"}"#,
        r#"notifications_deliveries_total{result="failed"}"#,
        r#"notifications_deliveries_total{result="dead"}"#,
        r#"notifications_events_total{result="dead_lettered"}"#,
    ])
    .await;
    drop(telegram);
    let failed = r#"notifications_deliveries_total{result="failed"}"#;
    let before = count(failed).await;
    eventually("Telegram is missed", || async {
        buy(world, checkout).await;
        (count(failed).await > before).then_some(())
    })
    .await;
    let request = GetHistoryWithPeriodRequest { user: 1, ..Default::default() };
    let mut history = world.notifications_at(notifications.port).unwrap();
    assert_eq!(history.get_history_with_period(request).await.unwrap_err().code(), Code::InvalidArgument);
}

async fn buy(world: &World, checkout: &Service) {
    let (user, mut client) = (world.shopper(), world.checkout_at(checkout.port).unwrap());
    client.add_to_cart(AddToCartRequest { user, sku: PLENTY, count: 1 }).await.unwrap();
    client.purchase(PurchaseRequest { user, idempotency_key: String::new() }).await.unwrap();
}

/// Starts a service with a wrong password for its database, and with a collector that does not run.
async fn lock_out(world: &World) -> Service {
    let locked_out = Service::start(world, fleet::Service::Checkout, "checkout-locked-out", |config| {
        config["postgres"]["connection_string"] = with_password(world, WRONG_PASSWORD).into();
        config["jaeger"]["endpoint"] = format!("http://jaeger:{IN_URL}@{}", loopback(free().unwrap())).into();
    });
    locked_out.wait_for_output("waiting for Postgres").await;
    locked_out
}

/// Runs commands whose configuration has secrets in the wrong places.
fn misconfigure(world: &World) -> Vec<(String, String)> {
    let wrong = configure(world, fleet::Service::Loms, "wrong-password", |config| {
        config["postgres"]["connection_string"] = with_password(world, WRONG_PASSWORD).into();
    });
    let (code, migrate) = run(fleet::Service::Loms, &["migrate"], &wrong);
    assert_eq!(code, Some(1));

    let key = world.state().join("garbage.key");
    fs::write(&key, format!("-----BEGIN PRIVATE KEY-----\n{IN_KEY_FILE}\n-----END PRIVATE KEY-----\n")).unwrap();
    let garbage = configure(world, fleet::Service::Checkout, "garbage-key", |config| {
        config["grpc"]["tls"]["key"] = key.to_str().unwrap().into();
    });
    let (code, serve) = run(fleet::Service::Checkout, &["serve"], &garbage);
    assert_eq!(code, Some(1));

    let misplaced = format!(
        "grpc: {{listen: '{MISPLACED}', tls: '{MISPLACED}'}}\nadmin: {{listen: 127.0.0.1:0, {MISPLACED}: 1}}\n\
         postgres: {{connection_string: 'mysql://shop:{MISPLACED}@localhost/shop', max_connections: '{MISPLACED}'}}\n\
         brokers: ['user:{MISPLACED}@localhost:9092']\ntelegram: {{api_key: ['{MISPLACED}'], chat_id: 1}}\n\
         token: {{'{MISPLACED}': 1}}\nlog: {{level: '{MISPLACED}'}}\njaeger: '{MISPLACED}'\n\
         graylog: {{address: 'user:{MISPLACED}@localhost:12201'}}\n"
    );
    let misplaced = misplaced.replace(&format!("{MISPLACED}: 1"), &format!("password:{MISPLACED}"));
    let mut commands = vec![("loms migrate".to_owned(), migrate), ("checkout serve".to_owned(), serve)];
    for service in fleet::Service::ALL {
        let (code, said) = run(service, &["check-config"], &write(world, "misplaced", &misplaced));
        assert_eq!(code, Some(64), "{said}");
        commands.push((format!("{} check-config", service.name()), said));
    }
    commands
}

fn with_password(world: &World, password: &str) -> String {
    let url = &world.addresses.loms.database;
    url.replace(&password_of(url), password)
}

/// The password of `postgres://user:password@host`.
fn password_of(url: &str) -> String {
    let (user, _) = url.split_once('@').unwrap();
    user.rsplit(':').next().unwrap().to_owned()
}

/// The secrets above, and those of every fleet: passwords, tokens, and each line of the keys and certificates.
fn secrets(world: &World) -> Vec<(String, String)> {
    let planted = [TELEGRAM_KEY, WRONG_PASSWORD, WRONG_TOKEN, IN_URL, MISPLACED, IN_KEY_FILE, product_service::TOKEN];
    let mut secrets: Vec<_> = planted.map(|secret| (secret.to_owned(), secret.to_owned())).into();
    let password = password_of(&world.addresses.checkout.database);
    secrets.push(("the password of the database".to_owned(), password));
    for entry in fs::read_dir(&world.addresses.certs).unwrap() {
        let file = entry.unwrap().path();
        let text = fs::read_to_string(&file).unwrap_or_default();
        let body = text.lines().filter(|line| line.len() > 16 && !line.starts_with("---"));
        secrets.extend(body.map(|line| (file.display().to_string(), line.to_owned())));
    }
    secrets
}
