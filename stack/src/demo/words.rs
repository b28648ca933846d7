//! How the calls of the story are shown, so that its readers can repeat them.

use anyhow::Context as _;
use prost_reflect::prost::Message;

use super::narrator;
use crate::{
    certs::CA_FILE,
    doors::{Door, Methods},
    fleet::{Addresses, Service, shown},
};

#[derive(Clone)]
pub struct Words {
    methods: Methods,
    /// For those who call over HTTP.
    fleet: Option<Addresses>,
}

impl Words {
    pub fn new(fleet: &Addresses, door: Door) -> anyhow::Result<Self> {
        let fleet = match door {
            Door::Grpc => None,
            Door::Json => Some(fleet.clone()),
        };
        Ok(Self { methods: Methods::of_all_services()?, fleet })
    }

    /// Shows a call as curl makes it, and what cannot be called over HTTP with its name and its request.
    pub fn tell(&self, service: &str, name: &str, request: &impl Message) -> anyhow::Result<()> {
        let method = self.methods.find(&format!("/{service}/{name}")).context("the story calls what there is not")?;
        let json = method.request_json(&request.encode_to_vec())?;
        let own = Service::ALL.into_iter().find(|own| own.facts().rpc == service);
        if let (Some(fleet), Some(own), Some(path)) = (&self.fleet, own, &method.http_path) {
            let url = format!("{}{path}", fleet.service(own).http_url());
            narrator::call(curl(fleet, own), url, format_args!("-d '{json}'"));
        } else {
            narrator::call("", format_args!("{service}/{name}"), json);
        }
        Ok(())
    }
}

/// The program, and whom it trusts and what it shows.
fn curl(fleet: &Addresses, service: Service) -> String {
    let certs = shown(&fleet.certs).display();
    let trusts = format!("curl --cacert {certs}/{CA_FILE} ");
    match service {
        Service::Checkout => trusts,
        Service::Loms | Service::Notifications => {
            format!("{trusts}--cert {certs}/client.pem --key {certs}/client.key ")
        }
    }
}
