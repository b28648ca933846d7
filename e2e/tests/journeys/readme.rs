//! What the README tells people to paste works as it stands.

use std::{
    env, fs,
    io::Write as _,
    process::{Command, Stdio},
};

use e2e::World;
use stack::{
    fleet::{Ports, Service},
    packages,
};

use crate::grpcurl;

/// The first code below a heading of the README.
fn code_below(heading: &str) -> String {
    let readme = fs::read_to_string(e2e::files::path("README.md")).unwrap();
    let (_, section) = readme.split_once(&format!("\n## {heading}\n")).unwrap();
    let (_, code) = section.split_once("\n```sh\n").unwrap();
    code.split_once("\n```\n").unwrap().0.to_owned() + "\n"
}

/// The same for another fleet and another user.
fn walk(world: &World, user: i64) -> String {
    let own = &world.addresses;
    let services = Service::ALL.map(|service| {
        let (usual, own) = (service.facts().ports.grpc, own.service(service).grpc.port());
        (format!("localhost:{usual} "), format!("localhost:{own} "))
    });
    let rest = [
        ("certs=certs ".to_owned(), format!("certs={} ", own.certs.display())),
        (format!("127.0.0.1:{}/", Ports::DEFAULT.telegram), format!("{}/", own.telegram)),
        ("\"user\": 7".to_owned(), format!("\"user\": {user}")),
        ("\\\"user\\\": 7".to_owned(), format!("\\\"user\\\": {user}")),
    ];
    let mut walk = code_below("A purchase by hand");
    for (from, to) in services.into_iter().chain(rest) {
        assert!(walk.contains(&from), "the walk has no {from}");
        walk = walk.replace(&from, &to);
    }
    walk
}

pub async fn the_walk_of_the_readme_shows_all_three_messages_when_it_is_pasted_at_once(world: &World) {
    packages::program("curl", "curl", "install curl").unwrap();
    let walk = walk(world, world.shopper());
    let output = tokio::task::spawn_blocking(move || {
        let programs = tempfile::tempdir().unwrap();
        grpcurl::install(programs.path());
        let path = format!("{}:{}", programs.path().display(), env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.env("PATH", path).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        shell.stdin.take().unwrap().write_all(walk.as_bytes()).unwrap();
        shell.wait_with_output().unwrap()
    });
    let output = output.await.unwrap();
    let [said, complained] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success() && complained.is_empty(), "{said}\n{complained}");
    let (_, order) = said.split_once("\"orderID\": \"").expect("the order that was bought is shown");
    let order = order.split('"').next().unwrap();
    for message in ["is created.", "awaits payment until ", "is paid."] {
        let told = said.matches(&format!("\"Order {order} {message}")).count();
        assert_eq!(told, 2, "by Telegram and in the history: {message}\n{said}");
    }
}
