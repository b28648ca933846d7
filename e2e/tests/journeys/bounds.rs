//! The ends of what a configuration takes: one step further is refused with its key, and at the end the service lives.

use std::{collections::BTreeMap, fs, process::Command};

use e2e::World;
use proto::{
    cart::{ListCartRequest, cart_client::CartClient},
    loms::{StocksRequest, loms_client::LomsClient},
    notifications::{GetHistoryWithPeriodRequest, notifications_client::NotificationsClient},
};
use serde_yaml::Value;
use stack::{
    binaries,
    fleet::{Replica, Service},
    testing::eventually,
};
use tonic::Code;

use crate::doors::channel_to;

/// More than any number or duration may be.
const TOO_MUCH: [&str; 2] = ["99999999999", "500000000000y"];
/// Fewer connections than the services may ask for, because the database is for others too.
const CONNECTIONS: u32 = 12;

pub async fn services_live_at_both_ends_of_what_their_configuration_takes(world: &World) {
    for service in Service::ALL {
        let bounds = bounds(world, service);
        assert!(bounds.len() >= 10 && bounds.contains_key("postgres.acquire_timeout"), "{bounds:?}");
        let database = world.database_of_few(service, CONNECTIONS).await.unwrap();
        for end in [0, 1] {
            let replica = Replica::start_with(service, &world.addresses, |config| {
                for (key, ends) in &bounds {
                    set(config, key, &ends[end]);
                }
                set(config, "postgres.connection_string", &database);
            });
            let replica = replica.unwrap();
            eventually("it is ready", || async { replica.is_ready().await.then_some(()) }).await;
            if end == 1 {
                answers(world, service, replica.port).await;
            }
            let livez = reqwest::get(format!("http://{}/livez", replica.admin)).await.unwrap();
            assert!(livez.status().is_success(), "{}", livez.text().await.unwrap());
            let log = fs::read_to_string(&replica.log).unwrap();
            assert!(!log.contains("panicked"), "{log}");
            assert!(replica.stop().await.unwrap().success(), "{} with {bounds:?}, {end}", service.name());
        }
    }
}

/// A call without a deadline of its own.
async fn answers(world: &World, service: Service, port: u16) {
    let channel = channel_to(world, port);
    let answered = match service {
        Service::Checkout => {
            let request = ListCartRequest { user: world.shopper() };
            CartClient::new(channel).list_cart(request).await.map(|_| ())
        }
        Service::Loms => LomsClient::new(channel).stocks(StocksRequest { sku: 1 }).await.map(|_| ()),
        Service::Notifications => {
            let request = GetHistoryWithPeriodRequest { user: world.shopper(), ..Default::default() };
            let answer = NotificationsClient::new(channel).get_history_with_period(request).await.map(|_| ());
            answer.or_else(|status| (status.code() == Code::InvalidArgument).then_some(()).ok_or(status))
        }
    };
    answered.unwrap();
}

/// The keys of a service that have bounds, with these. The example has all keys, and what is too much for a key is told with
/// its bounds.
fn bounds(world: &World, service: Service) -> BTreeMap<String, [String; 2]> {
    let name = service.name();
    let example = fs::read_to_string(e2e::files::path(&format!("{name}/config.example.yaml"))).unwrap();
    let example: Value = serde_yaml::from_str(&example.replace("# retention:", "retention:")).unwrap();
    let mut leaves = Vec::new();
    collect(&example, "", &mut leaves);

    let text = fs::read_to_string(&world.addresses.service(service).config).unwrap();
    let mut config: Value = serde_yaml::from_str(&text).unwrap();
    for (key, value) in leaves {
        let is_number = value.parse::<u32>().is_ok();
        let is_duration =
            value.starts_with(|first: char| first.is_ascii_digit()) && value.ends_with(['s', 'm', 'h', 'd']);
        if is_number || is_duration {
            set(&mut config, &key, TOO_MUCH[usize::from(is_duration)]);
        }
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), serde_yaml::to_string(&config).unwrap()).unwrap();
    let mut check = Command::new(binaries::find(name).unwrap());
    let output = check.arg("check-config").arg("--config").arg(file.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let faults = String::from_utf8(output.stderr).unwrap();
    let bound = |line: &str| {
        let (key, fault) = line.trim().split_once(": must be ").unwrap_or_else(|| panic!("{faults}"));
        let (_, ends) = fault.split_once("from ").unwrap_or_else(|| panic!("{faults}"));
        let (first, last) = ends.split_once(" to ").unwrap();
        (key.to_owned(), [first.to_owned(), last.to_owned()])
    };
    faults.lines().skip(1).map(bound).collect()
}

/// The single values of a file, each with its key.
fn collect(value: &Value, path: &str, leaves: &mut Vec<(String, String)>) {
    if let Value::Mapping(mapping) = value {
        for (key, value) in mapping {
            let key = key.as_str().unwrap();
            collect(value, &if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }, leaves);
        }
    } else if let Some(text) = value.as_str().map(str::to_owned).or_else(|| Some(value.as_i64()?.to_string())) {
        leaves.push((path.to_owned(), text));
    }
}

fn set(config: &mut Value, key: &str, value: &str) {
    let place = key.split('.').fold(config, |section, key| &mut section[key]);
    *place = Value::String(value.to_owned());
}
