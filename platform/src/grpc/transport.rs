//! Connections to other services. Each begins at the first call, and anew after it broke.

use std::{
    io::ErrorKind::{NotFound, TimedOut},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
};
use tokio_rustls::TlsConnector;
use tonic::{
    Code,
    transport::{Channel as Transport, Endpoint},
};
use tower::service_fn;
use tracing::debug;

use crate::{config::ServiceUrl, tls::ClientTls};

/// Includes the TLS handshake.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The same for one of several addresses: a server that hangs may have a neighbour that does not.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(1);
/// So many calls must fail in a row for their connection to be left.
const MOST_FAILURES: u32 = 3;
/// Where all servers fail, connections are not left more often than that.
const REST: Duration = Duration::from_secs(1);

trait IoStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> IoStream for T {}

/// A connection that is left when calls fail on it in a row. The next one begins at another address of the server. Clones
/// share the connection.
#[derive(Clone)]
pub(super) struct Replaceable {
    shared: Arc<Shared>,
    transport: Transport,
    generation: u64,
}

struct Shared {
    connect: Box<dyn Fn() -> anyhow::Result<Transport> + Send + Sync>,
    first_address: Arc<AtomicUsize>,
    latest: Mutex<Latest>,
}

struct Latest {
    transport: Transport,
    generation: u64,
    began_at: Instant,
    failures_in_a_row: u32,
}

/// Where the end of a call is counted.
pub(super) struct Failures {
    shared: Arc<Shared>,
    generation: u64,
}

impl Replaceable {
    pub fn new(
        url: &ServiceUrl,
        tls: &ClientTls,
        configure: impl Fn(Endpoint) -> Endpoint + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let first_address = Arc::<AtomicUsize>::default();
        let connect = {
            let (url, tls, first) = (url.clone(), tls.clone(), first_address.clone());
            move || connecting(&url, Some(&tls), first.clone(), &configure)
        };
        let transport = connect()?;
        let latest =
            Latest { transport: transport.clone(), generation: 0, began_at: Instant::now(), failures_in_a_row: 0 };
        let shared = Shared { connect: Box::new(connect), first_address, latest: Mutex::new(latest) };
        Ok(Self { shared: Arc::new(shared), transport, generation: 0 })
    }

    /// The latest connection.
    pub fn latest(&mut self) -> &mut Transport {
        let latest = self.shared.latest();
        if self.generation != latest.generation {
            self.transport = latest.transport.clone();
            self.generation = latest.generation;
        }
        drop(latest);
        &mut self.transport
    }

    /// The connection that was ready in [`latest`](Self::latest). Only this one may take the call: a clone is not ready.
    pub fn take(&mut self) -> (Transport, Failures) {
        let clone = self.transport.clone();
        let failures = Failures { shared: self.shared.clone(), generation: self.generation };
        (std::mem::replace(&mut self.transport, clone), failures)
    }
}

impl Failures {
    /// Leaves the connection if too many calls in a row were not answered, or only with UNAVAILABLE.
    pub fn count(self, code: Code) {
        let mut latest = self.shared.latest();
        if latest.generation != self.generation {
            return;
        }
        if ![Code::Unavailable, Code::DeadlineExceeded].contains(&code) {
            latest.failures_in_a_row = 0;
            return;
        }
        latest.failures_in_a_row += 1;
        if latest.failures_in_a_row < MOST_FAILURES || latest.began_at.elapsed() < REST {
            return;
        }
        self.shared.first_address.fetch_add(1, Ordering::Relaxed);
        match (self.shared.connect)() {
            Ok(transport) => {
                debug!("calls failed in a row; their connection is left");
                let generation = latest.generation + 1;
                *latest = Latest { transport, generation, began_at: Instant::now(), failures_in_a_row: 0 };
            }
            Err(error) => debug!(%error, "a connection cannot be left"),
        }
    }
}

impl Shared {
    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects at the first call, over TLS if the address begins with `https://`.
pub(crate) fn transport(
    url: &ServiceUrl,
    tls: Option<&ClientTls>,
    configure: impl FnOnce(Endpoint) -> Endpoint,
) -> anyhow::Result<Transport> {
    connecting(url, tls, Arc::default(), configure)
}

/// `first` says at which of the addresses of the server a connection begins.
fn connecting(
    url: &ServiceUrl,
    tls: Option<&ClientTls>,
    first: Arc<AtomicUsize>,
    configure: impl FnOnce(Endpoint) -> Endpoint,
) -> anyhow::Result<Transport> {
    let tls = tls.filter(|_| url.is_tls()).cloned();
    // `connect` does TLS, because certificates may change. An endpoint with the scheme `https` would need its own.
    let mut plain = url.uri().clone().into_parts();
    plain.scheme = Some(http::uri::Scheme::HTTP);
    let endpoint = configure(Endpoint::from(Uri::from_parts(plain)?).origin(url.uri().clone()));
    Ok(endpoint.connect_with_connector_lazy(service_fn(move |uri: Uri| {
        connect(uri, tls.clone(), first.load(Ordering::Relaxed))
    })))
}

async fn connect(uri: Uri, tls: Option<ClientTls>, first: usize) -> std::io::Result<TokioIo<Box<dyn IoStream>>> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host.clone()).map_err(std::io::Error::other)?;
    let mut failure = std::io::Error::from(NotFound);
    let mut addresses: Vec<_> = lookup_host((host.as_str(), uri.port_u16().unwrap_or(443))).await?.collect();
    let first = first.checked_rem(addresses.len()).unwrap_or_default();
    addresses.rotate_left(first);
    let timeout = if addresses.len() > 1 { ADDRESS_TIMEOUT } else { CONNECT_TIMEOUT };
    for address in addresses {
        let connecting = connect_to(address, name.clone(), tls.as_ref());
        match tokio::time::timeout(timeout, connecting).await.unwrap_or_else(|_| Err(TimedOut.into())) {
            Ok(stream) => return Ok(TokioIo::new(stream)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn connect_to(
    address: SocketAddr,
    name: ServerName<'static>,
    tls: Option<&ClientTls>,
) -> std::io::Result<Box<dyn IoStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    match tls {
        None => Ok(Box::new(stream)),
        Some(tls) => Ok(Box::new(TlsConnector::from(tls.current()).connect(name, stream).await?)),
    }
}
