//! What the README tells people to paste works as it stands.

use std::{
    env, fs,
    io::Write as _,
    process::{Command, Output, Stdio},
};

use e2e::World;
use stack::{
    fleet::{Ports, Service, ServicePorts},
    packages,
};

use crate::grpcurl;

/// The SKU of the walks, and those that they have here, because other tests count its stock.
const SKU: u32 = 1003;
const OWN_SKUS: [u32; 2] = [1212, 1704];

/// The code below a heading of the README, block by block.
fn code_below(heading: &str) -> Vec<String> {
    let readme = fs::read_to_string(e2e::files::path("README.md")).unwrap();
    let (_, section) = readme.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("\n```sh\n").skip(1);
    blocks.map(|block| block.split_once("\n```\n").unwrap().0.to_owned() + "\n").collect()
}

/// A walk for another fleet, another user and another SKU, whose calls go to one of the ports of each service.
fn walk_here(walk: &str, world: &World, port: fn(ServicePorts) -> u16, user: i64, sku: u32) -> String {
    let own = &world.addresses;
    let services = Service::ALL.map(|service| {
        let addresses = own.service(service);
        let here =
            ServicePorts { grpc: addresses.grpc.port(), http: addresses.http.port(), admin: addresses.admin.port() };
        [service.facts().ports, here].map(|ports| format!("localhost:{}", port(ports))).into()
    });
    let rest = [
        ("certs=certs ".to_owned(), format!("certs={} ", own.certs.display())),
        (format!("127.0.0.1:{}/", Ports::DEFAULT.telegram), format!("{}/", own.telegram)),
        ("\"user\": 7".to_owned(), format!("\"user\": {user}")),
        ("\\\"user\\\": 7".to_owned(), format!("\\\"user\\\": {user}")),
        (format!("\"sku\": {SKU}"), format!("\"sku\": {sku}")),
    ];
    services.into_iter().chain(rest).fold(walk.to_owned(), |walk, (from, to): (String, String)| {
        assert!(walk.contains(&from), "the walk has no {from}:\n{walk}");
        walk.replace(&from, &to)
    })
}

pub async fn the_walks_of_the_readme_show_all_three_messages_when_they_are_pasted_at_once(world: &World) {
    packages::program("curl", "curl", "install curl").unwrap();
    let walks = code_below("A purchase by hand");
    let [by_grpc, over_http] = &walks[..] else { panic!("two walks are expected: {walks:?}") };
    let ports: [fn(ServicePorts) -> u16; 2] = [|ports| ports.grpc, |ports| ports.http];
    for ((walk, port), sku) in [by_grpc, over_http].into_iter().zip(ports).zip(OWN_SKUS) {
        let walk = walk_here(walk, world, port, world.shopper(), sku);
        let output = tokio::task::spawn_blocking(move || paste(&walk)).await.unwrap();
        let [said, complained] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert!(output.status.success() && complained.is_empty(), "{said}\n{complained}");
        let said = said.replace("\": \"", "\":\"");
        let (_, order) = said.split_once("\"orderID\":\"").expect("the order that was bought is shown");
        let order = order.split('"').next().unwrap();
        assert!(said.contains("\"status\":\"paid\""), "{said}");
        for message in ["is created.", "awaits payment until ", "is paid."] {
            // What was told together is a line each of one message.
            let told = said.matches(&format!("Order {order} {message}")).count();
            assert_eq!(told, 2, "by Telegram and in the history: {message}\n{said}");
        }
    }
}

fn paste(walk: &str) -> Output {
    let programs = tempfile::tempdir().unwrap();
    grpcurl::install(programs.path());
    let path = format!("{}:{}", programs.path().display(), env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.env("PATH", path).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    shell.stdin.take().unwrap().write_all(walk.as_bytes()).unwrap();
    shell.wait_with_output().unwrap()
}
