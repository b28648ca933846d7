//! A Postgres that is cut off, by a proxy in front of it, and comes back.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use platform::config::{FromText as _, PostgresUrl};
use secrecy::ExposeSecret as _;
use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};
use stack::testing::{POSTGRES_VARIABLE, eventually};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tonic::Code;

use crate::{
    loms_stand_in::Fault,
    world::{Checkout, World, assert_within},
};

/// Passes connections on to Postgres, until they are cut.
struct Proxy {
    address: SocketAddr,
    is_open: watch::Sender<bool>,
}

impl Proxy {
    async fn start() -> Self {
        let server: PgConnectOptions = std::env::var(POSTGRES_VARIABLE).unwrap().parse().unwrap();
        let server = (server.get_host().to_owned(), server.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_open, opened) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut caller, _)) = listener.accept().await {
                let (mut opened, server) = (opened.clone(), server.clone());
                tokio::spawn(async move {
                    let pass = async {
                        let mut server = TcpStream::connect(server).await?;
                        copy_bidirectional(&mut caller, &mut server).await
                    };
                    tokio::select! {
                        _ = opened.wait_for(|is_open| !is_open) => {}
                        _ = pass => {}
                    }
                });
            }
        });
        Self { address, is_open }
    }

    /// Cuts every connection, also new ones at once.
    fn cut(&self) {
        self.is_open.send_replace(false);
    }

    fn mend(&self) {
        self.is_open.send_replace(true);
    }

    /// A checkout whose Postgres is behind this proxy.
    async fn checkout(&self, world: &World) -> Checkout {
        world
            .checkout_with(|config| {
                let url: PgConnectOptions = config.service.postgres.connection_string.expose_secret().parse().unwrap();
                let url = url.host("127.0.0.1").port(self.address.port()).to_url_lossy().to_string();
                config.service.postgres.connection_string = PostgresUrl::from_text(&url).unwrap();
                config.service.postgres.acquire_timeout = Duration::from_secs(2);
            })
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_gone_is_told_within_the_deadline_and_found_again() {
    let world = World::new().await;
    let proxy = Proxy::start().await;
    let checkout = proxy.checkout(&world).await;
    let client = checkout.client_with_deadline(Duration::from_secs(3));
    client.add(1, 1001, 1).await.unwrap();
    proxy.cut();
    for _ in 0..3 {
        let begun = Instant::now();
        let status = client.add(1, 1001, 1).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "Postgres is unavailable"));
        assert_within(Duration::from_secs(3), begun);
    }
    proxy.mend();
    eventually("Postgres is found again", || async { client.add(1, 1001, 1).await.ok() }).await;
    assert_eq!(world.cart(1).await, [(1001, 2)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_goes_between_order_and_settlement_leaves_one_order_and_the_retry_gets_it() {
    for key in ["key", ""] {
        let world = World::new().await;
        let proxy = Proxy::start().await;
        let checkout = proxy.checkout(&world).await;
        let client = checkout.client();
        client.add(1, 1001, 2).await.unwrap();
        world.loms.then(Fault::WaitAtGate);
        let purchase = tokio::spawn({
            let client = client.clone();
            async move { client.purchase(1, key).await }
        });
        world.loms.called(2).await;
        proxy.cut();
        world.loms.open_gate();
        let status = purchase.await.unwrap().unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "Postgres is unavailable"));
        proxy.mend();

        let order = eventually("Postgres is found again", || async { client.purchase(1, key).await.ok() }).await;
        let orders = world.loms.orders();
        assert_eq!((orders.len(), orders[0].id), (1, order));
        assert_eq!(world.cart(1).await, BTreeMap::new());
    }
}
