//! Connections to the fleet that is asked.

use std::path::PathBuf;

use anyhow::Context as _;
use proto::{
    cart::cart_client::CartClient, loms::loms_client::LomsClient,
    notifications::notifications_client::NotificationsClient, product::product_service_client::ProductServiceClient,
};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::health_client::HealthClient;

use crate::{certs, fleet::Addresses, product_service::TOKEN};

/// A fleet that speaks the contract. An address that begins with `http://` is spoken to in plaintext.
#[derive(Debug, Clone)]
pub struct Target {
    pub checkout: String,
    pub loms: String,
    pub notifications: String,
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
    pub fn local(fleet: &Addresses, connections: u32) -> Self {
        Self {
            checkout: fleet.checkout.url(),
            loms: fleet.loms.url(),
            notifications: fleet.notifications.url(),
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
    carts: Vec<CartClient<Channel>>,
    loms: Vec<LomsClient<Channel>>,
    health: Vec<HealthClient<Channel>>,
    notifications: Vec<NotificationsClient<Channel>>,
    pub products: ProductServiceClient<Channel>,
}

impl Clients {
    pub fn new(target: &Target) -> anyhow::Result<Self> {
        let channels = |url: &str| -> anyhow::Result<Vec<Channel>> {
            (0..target.connections).map(|_| channel(url, target)).collect()
        };
        let loms = channels(&target.loms)?;
        Ok(Self {
            health: loms.iter().cloned().map(HealthClient::new).collect(),
            loms: loms.into_iter().map(LomsClient::new).collect(),
            carts: channels(&target.checkout)?.into_iter().map(CartClient::new).collect(),
            notifications: channels(&target.notifications)?.into_iter().map(NotificationsClient::new).collect(),
            products: ProductServiceClient::new(channel(&target.product_service, target)?),
        })
    }

    /// A user always has the same connection.
    pub fn cart(&self, user: i64) -> CartClient<Channel> {
        of(&self.carts, user)
    }

    pub fn loms(&self, user: i64) -> LomsClient<Channel> {
        of(&self.loms, user)
    }

    /// That of LOMS.
    pub fn health(&self, user: i64) -> HealthClient<Channel> {
        of(&self.health, user)
    }

    pub fn notifications(&self, user: i64) -> NotificationsClient<Channel> {
        of(&self.notifications, user)
    }
}

fn of<T: Clone>(clients: &[T], user: i64) -> T {
    let place = usize::try_from(user.unsigned_abs() % clients.len() as u64).unwrap_or_default();
    clients[place].clone()
}

fn channel(url: &str, target: &Target) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(url.to_owned()).with_context(|| format!("{url} is no address"))?;
    let endpoint = endpoint.tcp_nodelay(true);
    if url.starts_with("https://") {
        return Ok(endpoint.tls_config(certs::client_tls(&target.certs)?)?.connect_lazy());
    }
    Ok(endpoint.connect_lazy())
}
