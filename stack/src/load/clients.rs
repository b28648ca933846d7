//! Connections to the fleet that is asked.

use std::path::PathBuf;

use proto::{
    cart::cart_client::CartClient, loms::loms_client::LomsClient,
    notifications::notifications_client::NotificationsClient, product::product_service_client::ProductServiceClient,
};
use tonic_health::pb::health_client::HealthClient;

use crate::{
    doors::{Connection, Door},
    fleet::Addresses,
    product_service::TOKEN,
};

/// A fleet that speaks the contract. An address that begins with `http://` is spoken to in plaintext.
#[derive(Debug, Clone)]
pub struct Target {
    /// The door of the three services, to which their addresses lead.
    pub door: Door,
    pub checkout: String,
    pub loms: String,
    pub notifications: String,
    /// Has one door, gRPC.
    pub product_service: String,
    /// What ProductService asks for.
    pub product_token: String,
    /// The directory with `ca.pem`, `client.pem` and `client.key`.
    pub certs: PathBuf,
    /// How many connections to each service the users share.
    pub connections: u32,
}

impl Target {
    /// A local fleet.
    pub fn local(fleet: &Addresses, door: Door, connections: u32) -> Self {
        Self {
            door,
            checkout: fleet.checkout.url_at(door),
            loms: fleet.loms.url_at(door),
            notifications: fleet.notifications.url_at(door),
            product_service: format!("https://localhost:{}", fleet.product_service.port()),
            product_token: TOKEN.to_owned(),
            certs: fleet.certs.clone(),
            connections,
        }
    }
}

/// Clones share the connections, which begin with the first call.
#[derive(Debug, Clone)]
pub struct Clients {
    carts: Vec<CartClient<Connection>>,
    loms: Vec<LomsClient<Connection>>,
    health: Vec<HealthClient<Connection>>,
    notifications: Vec<NotificationsClient<Connection>>,
    pub products: ProductServiceClient<Connection>,
}

impl Clients {
    pub fn new(target: &Target) -> anyhow::Result<Self> {
        let connections = |url: &str| -> anyhow::Result<Vec<Connection>> {
            (0..target.connections).map(|_| Connection::new(target.door, url, &target.certs)).collect()
        };
        let loms = connections(&target.loms)?;
        let products = Connection::new(Door::Grpc, &target.product_service, &target.certs)?;
        Ok(Self {
            health: loms.iter().cloned().map(HealthClient::new).collect(),
            loms: loms.into_iter().map(LomsClient::new).collect(),
            carts: connections(&target.checkout)?.into_iter().map(CartClient::new).collect(),
            notifications: connections(&target.notifications)?.into_iter().map(NotificationsClient::new).collect(),
            products: ProductServiceClient::new(products),
        })
    }

    /// A user always has the same connection.
    pub fn cart(&self, user: i64) -> CartClient<Connection> {
        of(&self.carts, user)
    }

    pub fn loms(&self, user: i64) -> LomsClient<Connection> {
        of(&self.loms, user)
    }

    /// That of LOMS.
    pub fn health(&self, user: i64) -> HealthClient<Connection> {
        of(&self.health, user)
    }

    pub fn notifications(&self, user: i64) -> NotificationsClient<Connection> {
        of(&self.notifications, user)
    }
}

fn of<T: Clone>(clients: &[T], user: i64) -> T {
    let place = usize::try_from(user.unsigned_abs() % clients.len() as u64).unwrap_or_default();
    clients[place].clone()
}
